"""``codec models``: lists the installed models. Never imports torch."""

import json
from typing import TYPE_CHECKING, Any

import click

from ..errors import McmError
from .batch import FAILED, OK
from .console import complain, printable, rate, size

if TYPE_CHECKING:
    from ..model.weights import Weights


@click.command(short_help="List the installed models, their decoders and hashes.")
@click.argument("names", metavar="[NAMES]", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON per model.")
def models(names: tuple[str, ...], as_json: bool) -> int:
    """List the installed models: decoders, sizes, hashes (all checked), and what each quality typically costs.

    \b
    Examples:
      codec models
      codec models --json | jq .decoders
    """
    from ..model import weights

    code, first = OK, True
    for name in names or weights.available():
        try:
            facts = describe(weights.find(name))
        except McmError as error:
            code = FAILED
            complain(str(error), name)
            if as_json:
                click.echo(json.dumps({"name": name, "status": "failed", "error": str(error)}))
            continue
        if as_json:
            click.echo(json.dumps({"status": "ok", **facts}))
        else:
            click.echo(("" if first else "\n") + table(facts))
        first = False
    if not names and first and code == OK:
        raise McmError("no model is installed", "install mcmcodec again, or set MCMCODEC_WEIGHTS")
    return code


def describe(found: "Weights") -> dict[str, Any]:
    """A model's facts. ModelError when one of its files is missing or not what the card says."""
    from ..model import weights

    card = found.card
    entries = {"stream": card["stream"]}
    entries |= {f"for {name}": card["analyses"][name] for name in found.analyses}
    entries |= {name: card["decoders"][name] for name in found.decoders}
    files = {name: {"bytes": len(found.checked(entry)), "sha256": entry["sha256"]} for name, entry in entries.items()}
    for entry in found.networks:  # hashes of the graphs, which are no matter of their own
        if "graph" in entry:
            found.checked(entry["graph"])
    facts: dict[str, Any] = {
        "name": found.name,
        "id": found.number,
        "default": found.name == weights.DEFAULT,
        "decoders": found.decoders,
        "fingerprint": found.fingerprint.hex(),
        "files": files,
        "folder": str(found.folder),
    }
    return {**facts, "ladder": card["ladder"]} if "ladder" in card else facts


def table(facts: dict[str, Any]) -> str:
    """Lay out one model's facts for people."""
    lines = [f"{facts['name']} (id {facts['id']}{', the default' if facts['default'] else ''})"]
    for part, file in facts["files"].items():
        role = "stream model" if part == "stream" else "analysis" if part.startswith("for ") else "decoder"
        note = ", the default" if part == facts["decoders"][0] else ""
        lines.append(f"  {part:<16}{size(file['bytes']):>8}  sha256 {file['sha256'][:16]}  {role}{note}")
    lines.append(f"  in {facts['folder']}")
    ladder = facts.get("ladder")
    if ladder:
        lines.append("  quality   " + "".join(f"{quality:>7}" for quality in ladder["quality"]))
        lines.append("  bpp       " + "".join(f"{rate(bpp):>7}" for bpp in ladder["bpp"]))
        lines.append("  PSNR (dB) " + "".join(f"{psnr:>7.1f}" for psnr in ladder["psnr"]))
    return "\n".join(map(printable, lines))
