"""Draw the packages of hasim and their imports: `python docs/house.py` writes figures/house.svg.

Everything is read from the source: the order of the packages from tests/test_architecture.py, the
sentence beside each from its docstring, the arrows from the import statements. A test holds the
picture against the source.
"""

from __future__ import annotations

import ast
from collections import Counter
from html import escape
from pathlib import Path

HERE = Path(__file__).parent
PACKAGE = HERE.parent / "hasim"
PICTURE = HERE / "figures" / "house.svg"

# Sizes of the drawing in pixels.
ROW, BOX, LEFT, WIDTH = 46, 34, 16, 830
ARCS_FROM, ARC_STEP = 560, 33
INK, FAINT, FILL = "#222222", "#8a8a8a", "#eaf2f8"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")


def order() -> tuple[str, ...]:
    """The packages from the top down, as the architecture test has them."""
    tree = ast.parse((HERE.parent / "tests" / "test_architecture.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "ORDER":
            return tuple(ast.literal_eval(node.value))
    raise ValueError("tests/test_architecture.py: no ORDER")


def imports() -> Counter[tuple[str, str]]:
    """(importing package, imported package) -> number of files that import, late imports too."""
    found: Counter[tuple[str, str]] = Counter()
    for path in sorted(PACKAGE.rglob("*.py")):
        own = path.relative_to(PACKAGE).parts[0]
        others = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            others |= {name.split(".")[1] for name in names if name.startswith("hasim.")}
        found.update((own, other) for other in others if other != own)
    return found


def files(package: str) -> int:
    """How many Python files a package has."""
    return sum(1 for _ in (PACKAGE / package).rglob("*.py"))


def sentence(package: str) -> str:
    """What a package is: the first line of its docstring."""
    tree = ast.parse((PACKAGE / package / "__init__.py").read_text(encoding="utf-8"))
    return (ast.get_docstring(tree) or "").split("\n\n")[0].replace("\n", " ")


def svg() -> str:
    """The picture: a row for each package; an arc to every package that it imports from."""
    names = order()
    height = ROW * len(names) + 54
    rank = {name: place for place, name in enumerate(names)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="DejaVu Sans, Arial, sans-serif" role="img" '
        f'aria-label="The packages of hasim, each importing only from those below it">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
    ]
    middle = {name: 14 + ROW * place + BOX / 2 for name, place in rank.items()}
    found = [(a, b, n) for (a, b), n in imports().items() if a in rank and b in rank]
    for name in names:
        top = middle[name] - BOX / 2
        parts += [
            f'<rect x="{LEFT}" y="{top:g}" width="{ARCS_FROM - LEFT - 8}" height="{BOX}" rx="5" '
            f'fill="{FILL}" stroke="{FAINT}"/>',
            f'<text x="{LEFT + 10}" y="{middle[name] + 5:g}" font-size="14" font-weight="bold" '
            f'fill="{INK}">{name}</text>',
            f'<text x="{LEFT + 108}" y="{middle[name] + 4.5:g}" font-size="11.5" '
            f'fill="{INK}">{escape(short(sentence(name)))}</text>',
        ]
    for a, b, count in sorted(found, key=lambda one: (rank[one[1]] - rank[one[0]], one)):
        span = rank[b] - rank[a]
        colour = COLOURS[rank[a] % len(COLOURS)]
        x, start, end = ARCS_FROM, middle[a] + 5, middle[b] - 5
        reach = x + ARC_STEP * abs(span)
        parts.append(
            f'<path d="M{x} {start:g} C{reach:g} {start:g} {reach:g} {end:g} {x} {end:g}" '
            f'fill="none" stroke="{colour}" stroke-width="{0.6 + 0.22 * count:.2f}" '
            f'stroke-opacity="0.75"><title>{a} imports {b}: {count} files</title></path>'
        )
    for b in names[1:]:
        x, y = ARCS_FROM, middle[b] - 5
        parts.append(f'<path d="M{x - 6} {y:g} l8 -4 v8 z" fill="{INK}"/>')
    total = sum(files(name) for name in names)
    parts += [
        f'<text x="{LEFT}" y="{height - 16}" font-size="11.5" fill="{INK}">'
        f"{total} files in {len(names)} packages, {len(found)} pairs that import, none upward. "
        "A line leaves the package that imports; its width grows with the number of files."
        "</text>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def short(text: str, limit: int = 66) -> str:
    """A sentence that fits beside a name."""
    text = text.rstrip(".")
    return text if len(text) <= limit else text[: text.rindex(" ", 0, limit)] + " ..."


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
