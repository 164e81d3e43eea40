#!/usr/bin/env python3
"""table [--write] DOCUMENT CASES FOLDER SUITE...: the table kernel × provider of what tests/vm/providers printed on each (FOLDER/SUITE).

Prints it, compares it with the document's: what works there must work. --write: writes the document's table anew."""
import os
import sys

COLUMNS = {"host": "this machine", "bookworm": "Debian 12", "trixie": "Debian 13", "sid": "newest"}
BEGIN, END = "<!-- providers: written by make test-kernels -->\n", "<!-- end of providers -->\n"


def cases(path):
    lines = (line for line in open(path) if line.strip() and not line.startswith("#"))
    return [line.split("|")[0] for line in lines]


def measured(path):
    """(kernel, {provider: (state, text)})"""
    kernel, cells = "?", {}
    for line in open(path, errors="replace"):
        line = line.rstrip("\n")
        if line.startswith("kernel ") and kernel == "?":
            kernel = line.split()[1]
        if line.startswith("cell|"):
            _, name, state, text = line.split("|", 3)
            cells[name] = (state, text)
    return kernel, cells


def stands(cell):
    """What a cell has that must not be lost: that it works, and by one link for both ends of a function."""
    return cell.startswith("works"), "in a session" in cell


def written(text):
    """{provider: {suite: (whether it works, whether in a session)}} of the document's table."""
    rows = [[c.strip() for c in line.strip().strip("|").split(" | ")] for line in text.splitlines() if line.startswith("| ")]
    header = next((row for row in rows if row[0] == "provider"), [])
    suites = [next((s for s, title in COLUMNS.items() if c.startswith(title)), "") for c in header]
    return {row[0]: {s: stands(c) for s, c in zip(suites, row)} for row in rows if row[0] != "provider"}


def cell(state, text):
    text = text.replace("|", "\\|").strip()
    return {"works": f"works: {text}", "no": f"no: {text}"}.get(state, "FAILED")


def main():
    arguments = [a for a in sys.argv[1:] if a != "--write"]
    document, names, folder, *suites = arguments
    suites = [s for s in suites if os.path.exists(f"{folder}/{s}")]
    kernels = {s: measured(f"{folder}/{s}") for s in suites}
    names = cases(names)
    rows = [["provider"] + [f"{COLUMNS[s]}: {kernels[s][0]}" for s in suites]]
    for name in names:
        rows.append([name] + [cell(*kernels[s][1].get(name, ("FAILED", "not run"))) for s in suites])
    table = "".join("| " + " | ".join(row) + " |\n" + ("|---" * len(row) + "|\n" if row is rows[0] else "") for row in rows)
    print(table)
    text = open(document).read()
    before, rest = text.split(BEGIN)
    old, after = rest.split(END)
    wrong = []
    for name in names:
        now = {s: kernels[s][1].get(name, ("FAILED", "not run")) for s in suites}
        works = {s: state for s, (state, _) in now.items()}
        before_now = written(old).get(name, {})
        known = {s: worked for s, (worked, _) in before_now.items()}
        joined = [s for s, (_, joined) in before_now.items() if joined and s in now]
        wrong += [f"{name} on {s}: no longer in a session" for s in joined if "in a session" not in now[s][1]]
        wrong += [f"{name} on {s}: {state}, and worked before" for s, state in works.items() if known.get(s) and state != "works"]
        wrong += [f"{name} on {s}: failed" for s, state in works.items() if state == "FAILED" and not known.get(s)]
        if "--write" in sys.argv and "works" not in works.values() and not name.startswith("hardware"):
            wrong.append(f"{name} works nowhere")
    print("\n".join(wrong))
    if "--write" in sys.argv:
        open(document, "w").write(before + BEGIN + table + END + after)
    return 1 if wrong else 0


sys.exit(main())
