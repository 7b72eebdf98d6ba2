"""Reads manifests with the models of KServe's SDK and of the Kubernetes client, and prints their kinds.

Every value must come back out of the models the way it stands in the YAML: a field that a model does not know is lost on
the way, and one of the wrong type is refused.
"""

import re
import sys

import yaml
from kserve import models
from kubernetes import client

SCALARS = {"str": str, "int": int, "bool": bool, "float": (int, float)}
KINDS = {
    "InferenceService": models.V1beta1InferenceService,
    "LLMInferenceService": models.V1alpha2LLMInferenceService,
    "DaemonSet": client.V1DaemonSet,
    "Namespace": client.V1Namespace,
    "Pod": client.V1Pod,
}


def through(value, model, path):
    """Returns `value` as it comes back out of `model`."""
    if isinstance(model, str):
        if found := re.fullmatch(r"list\[(.*)\]", model):
            return [through(item, found[1], f"{path}[{index}]") for index, item in enumerate(value)]
        if found := re.fullmatch(r"dict[(\[]str, (.*)[)\]]", model):
            return {key: through(item, found[1], f"{path}.{key}") for key, item in value.items()}
        if model in SCALARS:
            if not isinstance(value, SCALARS[model]):
                sys.exit(f"{path} is {value!r} and should be a {model}")
            return value
        if model == "object":
            return value
        # KServe's SDK writes this one with the name of its package.
        model = model.replace("K8sIoApiAppsV1", "V1")
        named = getattr(models, model, None) or getattr(client, model, None)
        if named is None and model == "V1alpha2LLMInferenceServiceSpec":
            # The SDK has the object and not what is in it; the schema's test reads that.
            return value
        if named is None:
            sys.exit(f"{path}: neither KServe nor Kubernetes has a model {model}")
        model = named
    if hasattr(model, "model_validate"):
        return model.from_dict(value).model_dump(mode="json", by_alias=True, exclude_none=True)
    # A model of KServe's SDK: it knows the names and types of its fields, and checks what it is made of.
    by_json = {name: field for field, name in model.attribute_map.items()}
    if unknown := sorted(set(value) - set(by_json)):
        sys.exit(f"{path}: {model.__name__} has no {unknown}")
    fields = {
        by_json[name]: through(item, model.openapi_types[by_json[name]], f"{path}.{name}")
        for name, item in value.items()
    }
    made = model(**fields)
    return {name: getattr(made, by_json[name]) for name in value}


def compare(given, returned, path):
    if isinstance(given, dict):
        for key, value in given.items():
            if key not in returned:
                sys.exit(f"{path}.{key} is lost")
            compare(value, returned[key], f"{path}.{key}")
    elif isinstance(given, list):
        if len(given) != len(returned):
            sys.exit(f"{path} has another length")
        for index, (one, other) in enumerate(zip(given, returned)):
            compare(one, other, f"{path}[{index}]")
    elif given != returned:
        sys.exit(f"{path} is {given!r} and comes back as {returned!r}")


kinds = []
with open(sys.argv[1], encoding="utf-8") as file:
    for document in yaml.safe_load_all(file):
        kind = document["kind"]
        compare(document, through(document, KINDS[kind], kind), kind)
        kinds.append(kind)
print(*kinds)
