"""Conversations as the original's code lays them out (its class of conversations, Python's str.format), with
words of our own.

    prompts.py          writes tests/golden/prompts.json

Each case names one of the prompt files and the findings and messages that go into it; `text` is the whole
prompt. Only the layout's rules are the original's: system text, blank, role, colon, blank, message, separator."""
import json
import pathlib

GOLDEN = pathlib.Path(__file__).resolve().parents[2] / "tests" / "golden"
OWN = {
    "format": "radialog-prompts", "version": 1,
    "system": "Two speak.  One reads films \u2014 {exactly}.\nThe other asks.",
    "roles": ["USER", "ASSISTANT"], "separators": [" ", "</s>"],
    "report": "Film: {image}. Seen: {findings}. Say {{all}} of it{{}}.",
    "report_without_findings": "{image} Say it.",
}
OTHER = {
    "format": "radialog-prompts", "version": 1, "system": "S",
    "roles": ["Q", "A n"], "separators": ["\n\n", "<|end|>\n"], "image_token": "<|i|>",
    "report": "{findings}{image}",
}
LITERAL = {
    "other": "no {place} for this",
    "img_matching_examples_ig2_noexamples_IMG_findings": "Film: <IMG><IMG><IMG>. Seen: {findings}. {{\u00e9}}",
}
FILES = {"own": OWN, "other": OTHER, "literal": LITERAL}
REPORTS = ["The heart is {large}, }} and {0} {findings} {image}.", "", "Clear.\n Lungs too. ", "%s \\ \"quoted\""]
FINDINGS = ["edema, pleural effusion", "no common findings", "", "{findings} {image} {}"]


def conversation(style, messages):
    """The layout with two separators; a missing or empty message leaves the bare role."""
    text = style["system"] + style["separators"][0]
    for i, message in enumerate(messages):
        role, end = style["roles"][i % 2], style["separators"][i % 2]
        text += role + ":" + (" " + message + end if message else "")
    return text


def cases():
    for name, prompts in FILES.items():
        style = OWN if name == "literal" else prompts
        key = "img_matching_examples_ig2_noexamples_IMG_findings" if name == "literal" else "report"
        for i, findings in enumerate(FINDINGS):
            image = style.get("image_token", "<IMG>") * (i + 1)
            first = prompts[key].format(image=image, findings=findings)
            for later in ([None], [REPORTS[i], "Say it {again}: {findings}", None],
                          ["", REPORTS[i], REPORTS[0], "Why?", ""]):
                yield {"file": name, "findings": findings, "images": i + 1, "later": later,
                       "text": conversation(style, [first] + later)}
        if "report_without_findings" in prompts:
            first = prompts["report_without_findings"].format(image="<IMG><IMG>")
            yield {"file": name, "findings": None, "images": 2, "later": [None],
                   "text": conversation(style, [first, None])}


def main():
    table = {"system": OWN["system"], "files": FILES, "cases": list(cases())}
    (GOLDEN / "prompts.json").write_text(json.dumps(table, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


main()
