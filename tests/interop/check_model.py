#!/usr/bin/env python3
"""Loads a model from two folders with safetensors and tokenizers and compares all tensors and some texts.

    check_model.py ORIGINAL UNPACKED

Prints the number of tensors compared.
"""

import sys
from pathlib import Path

import safetensors
from tokenizers import Tokenizer

TEXTS = [
    "The cat sat on the mat.",
    "Ein Modell, verpackt als Abbild; größer als gedacht.",
    "tokenize: 3.14159, https://example.com/?q=a+b & <tags>",
    "",
]


def tensors(folder: Path) -> dict[str, tuple]:
    """Returns every tensor of every safetensors file: dtype, shape and bytes (numpy knows no bfloat16)."""
    found: dict[str, tuple] = {}
    for path in sorted(folder.glob("*.safetensors")):
        for name, tensor in safetensors.deserialize(path.read_bytes()):
            found[name] = (tensor["dtype"], tuple(tensor["shape"]), bytes(tensor["data"]))
    return found


def main() -> None:
    original, unpacked = Path(sys.argv[1]), Path(sys.argv[2])
    left, right = tensors(original), tensors(unpacked)
    if not left:
        sys.exit(f"check_model: no tensor in {original}")
    if left.keys() != right.keys():
        sys.exit(f"check_model: tensors differ in name: {sorted(left.keys() ^ right.keys())}")
    for name, tensor in left.items():
        if tensor != right[name]:
            sys.exit(f"check_model: tensor {name} differs")

    first = Tokenizer.from_file(str(original / "tokenizer.json"))
    second = Tokenizer.from_file(str(unpacked / "tokenizer.json"))
    for text in TEXTS:
        encodings = [tokenizer.encode(text) for tokenizer in (first, second)]
        if encodings[0].ids != encodings[1].ids or encodings[0].tokens != encodings[1].tokens:
            sys.exit(f"check_model: {text!r} is tokenized differently")
    print(len(left))


if __name__ == "__main__":
    main()
