"""Lists the crates that are linked into the static binary, as a CycloneDX document.

    sbom.py BINARY TARGET OUTPUT.cdx.json   writes the list for the binary of a target
    sbom.py --check FILE                    checks a list against CycloneDX's schema

The crates, versions and licences are those that `cargo tree` names for the command line's features and for TARGET,
without what runs only while the binary is built: build scripts and procedural macros. The checksums are those of
Cargo.lock. The same binary gives the same list: it has neither a random number nor the time.
"""

import hashlib
import pathlib
import re
import subprocess
import sys
import tomllib
import uuid

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

ROOT = pathlib.Path(__file__).parent.parent
LINE = re.compile(r"(\d+)\|(\S+) v(\S+)[^|]*\|([^|]*?)(?: \(\*\))?$")


def tree(target):
    """Yields depth, name, version and licence of each line of the tree of crates."""
    options = ["-p", "modelcar-cli", "-e", "normal,no-proc-macro", "--target", target]
    command = ["cargo", "tree", "--locked", "--quiet", *options, "--prefix", "depth", "-f", "|{p}|{l}"]
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in output.splitlines():
        match = LINE.match(line)
        if match is None:
            sys.exit(f"cargo tree printed a line that is not understood: {line}")
        depth, *crate = match.groups()
        yield int(depth), *crate


def checksums():
    packages = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    return {(package["name"], package["version"]): package.get("checksum") for package in packages}


def sha256(content):
    return HashType(alg=HashAlgorithm.SHA_256, content=content)


def component(name, version, licence, checksum):
    return Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=f"{name}@{version}",
        purl=PackageURL("cargo", name=name, version=version),
        licenses=[LicenseExpression(licence.replace("/", " OR "))] if licence else [],
        hashes=[sha256(checksum)] if checksum else [],
    )


def bill(binary, target):
    sums = checksums()
    digest = hashlib.sha256(pathlib.Path(binary).read_bytes()).hexdigest()
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, digest))
    bom.metadata.timestamp = None
    known, parents = {}, []
    for depth, name, version, licence in tree(target):
        crate = known.get((name, version))
        if crate is None:
            crate = known[name, version] = component(name, version, licence, sums[name, version])
            if depth == 0:
                crate.type = ComponentType.APPLICATION
                crate.hashes = [sha256(digest)]
                bom.metadata.component = crate
            else:
                bom.components.add(crate)
        parents[depth:] = [crate]
        bom.register_dependency(crate)
        if depth:
            bom.register_dependency(parents[depth - 1], [crate])
    return bom


def check(file):
    error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(pathlib.Path(file).read_text())
    if error:
        sys.exit(f"{file} is no CycloneDX document: {error}")


def main(arguments):
    match arguments:
        case ["--check", file]:
            check(file)
        case [binary, target, output]:
            text = JsonV1Dot6(bill(binary, target)).output_as_string(indent=2)
            pathlib.Path(output).write_text(text + "\n")
            check(output)
        case _:
            sys.exit(__doc__)


main(sys.argv[1:])
