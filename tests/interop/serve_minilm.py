"""Embeds sentences with a MiniLM model read from a folder, alone or behind KServe's own model server.

`embed FOLDER` prints the embeddings of SENTENCES as JSON. `serve FOLDER PORT` answers KServe's V1 protocol as the model
`minilm`. `runtime OPTIONS` does so as KServe's runtimes are called: `--model_name=NAME`, /mnt/models, port 8080.
`ask PORT` sends SENTENCES there and prints the embeddings of the answer.

The folder is opened again for every load, by the path that was given: no path is made real.
"""

import json
import math
import os
import sys
import time
import urllib.error
import urllib.request

SENTENCES = ["The cat sits on the mat.", "A feline rests on a rug.", "Tax returns are due in April."]
EPSILON = 1e-12


class MiniLM:
    """BERT with mean pooling, as sentence-transformers runs it."""

    def __init__(self, folder):
        import numpy
        from safetensors.numpy import load_file
        from tokenizers import Tokenizer

        self.np = numpy
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            self.config = json.load(file)
        self.tokenizer = Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tensors = load_file(os.path.join(folder, "model.safetensors"))
        self.erf = numpy.vectorize(math.erf)

    def embed(self, sentence):
        np = self.np
        ids = self.tokenizer.encode(sentence).ids
        embeddings = "embeddings."
        hidden = (
            self.tensors[embeddings + "word_embeddings.weight"][ids]
            + self.tensors[embeddings + "position_embeddings.weight"][: len(ids)]
            + self.tensors[embeddings + "token_type_embeddings.weight"][0]
        )
        hidden = self.norm(hidden, embeddings + "LayerNorm")
        for layer in range(self.config["num_hidden_layers"]):
            hidden = self.layer(hidden, f"encoder.layer.{layer}.")
        pooled = hidden.mean(axis=0)
        return (pooled / np.linalg.norm(pooled)).astype(float).tolist()

    def layer(self, hidden, name):
        np = self.np
        heads = self.config["num_attention_heads"]
        split = lambda x: x.reshape(len(x), heads, -1).transpose(1, 0, 2)
        query, key, value = (
            split(self.linear(hidden, f"{name}attention.self.{part}")) for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 2, 1) / math.sqrt(query.shape[-1])
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        context = (weights @ value).transpose(1, 0, 2).reshape(len(hidden), -1)
        attended = self.linear(context, name + "attention.output.dense")
        hidden = self.norm(attended + hidden, name + "attention.output.LayerNorm")
        inner = self.linear(hidden, name + "intermediate.dense")
        inner = inner * 0.5 * (1 + self.erf(inner / math.sqrt(2)))
        return self.norm(self.linear(inner, name + "output.dense") + hidden, name + "output.LayerNorm")

    def linear(self, x, name):
        return x @ self.tensors[name + ".weight"].T + self.tensors[name + ".bias"]

    def norm(self, x, name):
        x = x - x.mean(axis=-1, keepdims=True)
        x = x / self.np.sqrt((x**2).mean(axis=-1, keepdims=True) + EPSILON)
        return x * self.tensors[name + ".weight"] + self.tensors[name + ".bias"]


def wait_for(folder):
    """The sidecar makes its link after the server has started: a server that can't wait restarts."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            os.stat(os.path.join(folder, "config.json"))
            return
        except FileNotFoundError:
            time.sleep(0.05)


def serve(folder, port):
    import kserve

    class Served(kserve.Model):
        def load(self):
            wait_for(folder)
            self.model = MiniLM(folder)
            self.ready = True
            return True

        def predict(self, payload, headers=None, response_headers=None):
            return {"predictions": [self.model.embed(sentence) for sentence in payload["instances"]]}

    model = Served("minilm")
    model.load()
    kserve.ModelServer(http_port=port, enable_grpc=False, workers=1).start([model])


def ask(port):
    body = json.dumps({"instances": SENTENCES}).encode()
    url = f"http://127.0.0.1:{port}/v1/models/minilm:predict"
    end = time.monotonic() + 60
    while True:
        try:
            request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)["predictions"]
        except (urllib.error.URLError, ConnectionError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    command, *rest = sys.argv[1:]
    if command == "embed":
        wait_for(rest[0])
        model = MiniLM(rest[0])
        print(json.dumps([model.embed(sentence) for sentence in SENTENCES]))
    elif command == "serve":
        serve(rest[0], int(rest[1]))
    elif command == "runtime":
        serve("/mnt/models", 8080)
    else:
        print(json.dumps(ask(int(rest[0]))))
