"""Signs a file, and verifies a signature: ECDSA over P-256 with SHA-256, as `openssl dgst -sha256 -verify` reads it.

    python -m deployment.release.signature key FOLDER           make signing.key and signing.pub
    SIGNING_KEY=signing.key python -m deployment.release.signature sign FILE
    python -m deployment.release.signature verify FILE --key signing.pub

A list of digests (`sha256sum`) is what is signed of images and weights: whoever verifies it, then lets
`sha256sum --check` compare the files. Public workflows sign keyless with cosign as well.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

HOW = ec.ECDSA(hashes.SHA256())


class Unsigned(RuntimeError):
    """There is no signature, no key, or the file is not what was signed."""


def make_keys(folder: Path) -> None:
    """`signing.key`, for its owner alone, and `signing.pub`. Raises `FileExistsError`."""
    private = ec.generate_private_key(ec.SECP256R1())
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with os.fdopen(os.open(folder / "signing.key", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(secret)
    (folder / "signing.pub").write_bytes(public)


def sign(file: Path, key: Path) -> Path:
    """The signature, beside the file with `.sig` behind its name. Raises `Unsigned`."""
    private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    if not isinstance(private, ec.EllipticCurvePrivateKey):
        raise Unsigned(f"{key} is no key of an elliptic curve.")
    beside = _beside(file)
    beside.write_bytes(private.sign(file.read_bytes(), HOW))
    return beside


def verify(file: Path, key: Path) -> None:
    """Raises `Unsigned` unless the file is what the owner of the key signed."""
    public = serialization.load_pem_public_key(key.read_bytes())
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise Unsigned(f"{key} is no key of an elliptic curve.")
    try:
        public.verify(_beside(file).read_bytes(), file.read_bytes(), HOW)
    except FileNotFoundError as error:
        raise Unsigned(f"{error.filename} is missing.") from error
    except InvalidSignature as error:
        raise Unsigned(f"{file} is not what was signed.") from error


def _beside(file: Path) -> Path:
    return file.with_name(f"{file.name}.sig")


def main(words: list[str] | None = None) -> int:
    """The command line; 0 if it was done."""
    parser = argparse.ArgumentParser(prog="python -m deployment.release.signature")
    parser.add_argument("what", choices=("key", "sign", "verify"))
    parser.add_argument("file", type=Path)
    parser.add_argument("--key", type=Path, default=os.environ.get("SIGNING_KEY"), help="PEM file; SIGNING_KEY")
    given = parser.parse_args(words)
    try:
        if given.what == "key":
            make_keys(given.file)
        elif given.key is None:
            raise Unsigned("Name a key with --key or SIGNING_KEY; `key FOLDER` makes one.")
        else:
            (sign if given.what == "sign" else verify)(given.file, Path(given.key))
    except (Unsigned, OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{given.what}: {given.file}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
