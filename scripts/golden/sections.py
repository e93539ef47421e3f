"""Sections of reports, from the section rules in Python's regular expressions.

    python3 scripts/golden/sections.py                    writes tests/golden/sections.csv
    python3 scripts/golden/sections.py OUT.csv SOURCE...  the same table of real reports (scripts/check_sections.sh)

The table: report; its sections as "name start end" (bytes), joined by ";"; the stripped last impression, findings,
last_paragraph and comparison; the findings with line feeds deleted. The golden reports are put together here, from
sentences of this project and from every spelling of a header that the rules know. A SOURCE is a folder of .txt
reports or a .tgz of Open-i's XML reports. Each of its reports comes as it is (XML: in the layout of MIMIC-CXR), then
three times with its sentences under other headers, in other orders, with other gaps.

parse() was compared with the section parser that MIT-LCP publishes (mimic-cxr, txt/section_parser.py) on all of
these reports: no difference.
"""
import csv
import pathlib
import random
import re
import sys
import tarfile
import textwrap
import xml.etree.ElementTree

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
HEADER = re.compile("\n ([-A-Z ()/,]+):\\s")
VARIANTS = {
    "impression": "conclusion;findings and impression;findings/impression;findings/ impression;ndication;impresson;"
    "imprression;imoression;impressoin;imprssion;impresion;imperssion;mpression;impession",
    "findings": "chest, two views;finding;findins;findindgs;findgings;findngs;findnings;finidngs;reference findings",
    "comparison": "comparisons;reference exam;comparison exam;comparison film;comparision;comparsion;comparrison;"
    "comparisions",
    "indication": "reason for examination;reason for exam;clinical indication;idication",
    "history": "clinical history;clinical information;patient history;pfi",
    "examination": "exam;type of examination",
    "recommendations": "recommendation(s);recommendation",
    "wet read": "wetread",
    "preamble": "", "technique": "", "notification": "", "addendum": "", "date": "", "comment": "",
}
EXACT = {name: target for target, names in VARIANTS.items() for name in [target] + names.split(";") if name}
PARTS = ["impression", "findings", "history", "comparison", "addendum"]
VIEWS = ("chest;portable;pa and lateral;lateral and pa;ap and lateral;lateral and ap;frontal and;two views;"
         "frontal view;pa view;ap view;one view;lateral view;bone window;frontal upright;frontal semi-upright;ribs;"
         "pa and lat").split(";")


def target(header):
    name = header.lower().strip()
    if name in EXACT:
        return EXACT[name]
    for part in PARTS:
        if part in name:
            return part
    return "findings" if any(view in name for view in VIEWS) else name


def parse(text):
    """A list of [name, start, end] in characters."""
    out, found = [], HEADER.search(text)
    if not found:
        out.append(["full report", 0, len(text)])
    else:
        out.append(["preamble", 0, found.start(1)])
    while found:
        name, start = target(found.group(1)), found.end()
        skip = text.find("\n", start)
        found = HEADER.search(text, skip if skip >= 0 else start)
        out.append([name, start, found.start() if found else len(text)])
    out = [s for s in out if s[0] not in ("impression", "findings") or text[s[1]:s[2]].strip()]
    if not any(s[0] in ("impression", "findings") for s in out):
        before, gap, _ = text[out[-1][1]:out[-1][2]].partition("\n \n")
        if gap:
            middle, end = out[-1][1] + len(before), out[-1][2]
            out[-1][2] = middle
            out.append(["last_paragraph", middle + 3, end])
    return out


def last(text, sections, name):
    texts = [text[s[1]:s[2]].strip() for s in sections if s[0] == name]
    return texts[-1] if texts else None


SENTENCES = [
    "The lungs are clear.", "No pleural effusion\n or pneumothorax is seen.", "Heart size is normal.", "None.", "",
    "There is a small left effusion;\n the right base is clear.", "Compared with the earlier film: unchanged.",
    "Two views of the chest show\n \n a right port.", "Cough \u2013 fever.", "\t", "WET READ: see below", "___",
    "Line one\n line two\n  \n line three", "IMPRESSION: inside a line", "\n \n Second paragraph\n \n third.", "5.5 cm",
]
GAPS = ["\n ", "\n \n ", "\n\n ", " \n ", "\n", "\n  ", ""]
ENDS = [": ", ":  ", ":\n ", ":\t", ":", " : ", ":\u00a0", ": \n \n "]


def compose(draw, headers):
    text = draw.choice(["", " ", " FINAL REPORT", "                 FINAL REPORT\n", "\n", "Seen at once"])
    for header in headers:
        text += draw.choice(GAPS[:3] if draw.random() < 0.7 else GAPS)
        text += draw.choice([header.upper()] * 9 + [header.title()])
        text += draw.choice(ENDS[:3] if draw.random() < 0.7 else ENDS)
        text += "\n ".join(draw.choice(SENTENCES) for _ in range(draw.randrange(4)))
    return text + draw.choice(["", "\n", "\n \n", " "])


# --- real reports ---
def laid_out(parts):
    """Header and text of each part, as MIMIC-CXR's reports are typed: one blank before each line."""
    text = " " * 33 + "FINAL REPORT\n"
    for header, words in parts:
        text += "\n".join(" " + line for line in textwrap.wrap(f"{header}:  {words}", 88)) + "\n \n"
    return text


def perturbed(draw, text_of):
    """Real sentences under any headers."""
    headers = draw.choices(sorted(EXACT) + VIEWS + ["note", "old findings here", "final impression"], k=draw.randrange(6))
    headers = [draw.choice(list(text_of)) if draw.random() < 0.4 else h for h in headers]
    out = draw.choice(["", " ", " " * 33 + "FINAL REPORT\n", "FINAL REPORT"])
    for header in headers:
        words = draw.choice(list(text_of.values()))
        if draw.random() < 0.2:
            words = words.upper()
        words = re.sub(r"\. ", lambda m: draw.choice([". ", ". ", ".\n ", ".\n \n ", ".\n\n", ": "]), words)
        out += draw.choice(GAPS[:3] if draw.random() < 0.7 else GAPS) + header.upper()
        out += draw.choice(ENDS[:3] if draw.random() < 0.7 else ENDS) + words
    return out + draw.choice(["", "\n", "\n \n", " "])


def read_folder(folder):
    """Yields each report and its sections' words."""
    for path in sorted(pathlib.Path(folder).rglob("*.txt")):
        text = path.read_text(encoding="utf-8")
        yield text, {name: " ".join(text[a:b].split()) for name, a, b in parse(text)}


def read_archive(path):
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            if member.name.endswith(".xml"):
                tree = xml.etree.ElementTree.parse(archive.extractfile(member))
                parts = [(x.get("Label"), x.text or "") for x in tree.iter("AbstractText")]
                yield laid_out(parts), {header.lower(): words for header, words in parts} or {"none": ""}


def real(sources):
    draw = random.Random(6)
    for source in sources:
        for text, text_of in read_archive(source) if source.endswith(".tgz") else read_folder(source):
            yield text
            for _ in range(3):
                yield perturbed(draw, text_of)


def synthetic():
    draw = random.Random(14)
    common = ["impression", "findings", "history", "comparison", "indication", "examination", "technique"]
    odd = VIEWS + ["addendum to prior", "final impression", "old findings here", "m.d.", "a-b/c (d), e", " ", "x",
                   "recent history of", "opinion", "chest film", "note"]
    yield from ["", " ", "\n", "No header at all", "No header\n \n two parts\n \n three", "\n FINDINGS:", "\n :\n"]
    yield from [compose(draw, [name, "comment"]) for name in sorted(EXACT)]
    for _ in range(160):
        pool = common if draw.random() < 0.6 else common + odd
        yield compose(draw, [draw.choice(pool) for _ in range(draw.randrange(6))])


def write(path, reports):
    count = 0
    with open(path, "w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["report", "sections", "impression", "findings", "last_paragraph", "comparison", "clean"])
        for text in reports:
            sections = parse(text)
            offset = [len(text[:i].encode()) for i in range(len(text) + 1)]
            listed = ";".join(f"{name} {offset[a]} {offset[b]}" for name, a, b in sections)
            parts = [last(text, sections, n) for n in ("impression", "findings", "last_paragraph", "comparison")]
            clean = (parts[1] or "").replace("\n", "").strip()
            out.writerow([text, listed] + ["-" if p is None else p for p in parts] + [clean])
            count += 1
    print(count, "reports")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        write(sys.argv[1], real(sys.argv[2:]))
    else:
        write(GOLDEN / "sections.csv", synthetic())
