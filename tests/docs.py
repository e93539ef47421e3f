#!/usr/bin/env python3
"""Runs the commands of README.md and docs/*.md as they stand there, and checks what the texts name.

    docs.py TREE PROGRAM [FILE.md...]   all documents, or these; exit 1 with FILE:LINE: messages if something is wrong
    docs.py --self-test                 documents with mistakes, each of which must be found

Commands are the lines of all blocks (indented or fenced) but those that show JSON. They run in the order of the text, in a folder of stand-ins (tests/docs_sandbox.py). The README
begins with nothing but downloads; every other document with what the README's commands have left.

What cannot run stands in NOT_RUN, what runs with other words in INSTEAD, with the reason; entries that match no
command are errors. Of a command of radialog that does not run, the words are checked, by `radialog run --dry-run`.
"""
import concurrent.futures
import fnmatch
import glob
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

import docs_sandbox

# Patterns of whole commands, without comments and with single spaces.
NOT_RUN = [
    ("scripts/demo.sh", "minutes; scripts/test.sh runs it with --quick"),
    ("scripts/test.sh", "runs this"),
    ("scripts/setup.sh && scripts/build.sh cpu-release", "scripts/test.sh begins with both"),
    ("alias radialog=*", "the program that is tested is the one that was just built"),
    ("*scripts/bench.sh *", "minutes, and PyTorch"),
    ("scripts/fuzz.sh*", "minutes"),
    ("scripts/drill.sh*", "minutes; ctest runs its short form"),
    ("scripts/gpu_pack.sh", "scripts/test.sh runs it"),
    ("scripts/gpu_check.sh", "a GPU"),
    ("torchrun *", "a GPU, and PyTorch"),
    ("srun *", "Slurm"),
    ("curl *", "its radiograph is left out; tests/train/test_serve.c asks the same"),
]
INSTEAD = [
    ("radialog run *", " --device cuda --precision bf16", "", "a GPU"),
    ("radialog serve *", "radialog serve ", "radialog serve --port 0 ", "the port may be another program's"),
    ("radialog run *", ' --device cuda --launch "torchrun --no-python --nproc-per-node 8"', " --dry-run", "PyTorch"),
]
FIRST = re.compile(r"(radialog|scripts/\S+|build/\S+|for|mpirun|torchrun|srun|sbatch|alias|cat|curl|python3|pip|git|"
                   r"[A-Za-z_]+=\S*)(\s|$)")
OPTIONS_OF_OTHERS = {"--bind-to", "--oversubscribe", "--lora"} # mpirun's; llama.cpp's
INPUT = {"radialog chat": "questions"}  # stdin; nothing for all others
# What serves until it is told to end: started, waited for until it says where, and ended in good order.
SERVER = "radialog serve "
SERVE = """rm -f served; ( exec %s
) >served 2>&1 </dev/null & server=$!
for ((i = 0; i < 600; i++)); do
    ! grep -q http:// served || break
    kill -0 $server 2>/dev/null || break
    sleep 0.1
done
kill -TERM $server; wait $server; status=$?
cat served; grep -q http:// served && [ $status = 0 -o $status = 143 ] || exit 1"""
# Shards of one source are not continued from another: what stands there belongs to commands further above, and the
# first, MIMIC's, to other documents.
ANEW = re.compile(r"radialog ingest .*--out (\S+)")


# mpirun on any number of cores, as any user (as tests/ranks/mpirun.sh).
ENVIRONMENT = """export OMP_WAIT_POLICY=passive
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_btl=self,vader,tcp OMPI_MCA_mpi_yield_when_idle=1
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0"""


class Command:
    def __init__(self, path, line, text):
        self.path, self.line, self.text = path, line, text
        words = shlex.split(text, comments=True) if text.count("'") % 2 == 0 else text.split()
        self.plain = " ".join(words)

    def where(self):
        return "%s:%d: " % (self.path, self.line)


# --- reading --------------------------------------------------------------------------------------
def blocks(text):
    """(number of the first line, lines) of every fenced or indented block."""
    found, fence, previous = [], False, ""
    for number, line in enumerate(text.splitlines(), 1):
        inside = fence
        if line.startswith("```"):
            fence, line = not fence, ""
            if fence:
                found.append((number + 1, []))
            inside = False
        elif not fence and line.startswith("    ") and line.strip():
            begins = not previous.startswith("    ")
            # Behind an item of a list, an indented line belongs to it.
            if begins and not re.match(r"\s*([-*]|\d+\.)\s", previous):
                found.append((number, []))
                inside = True
            elif not begins:
                inside = bool(found) and found[-1][0] + len(found[-1][1]) == number
            line = line[4:]
        if inside:
            found[-1][1].append(line)
        previous = ("    " + line) if inside and not fence else line
    return [(n, lines) for n, lines in found if lines]


def commands_of(path, text):
    """The commands of all blocks: a line and what continues it, or all of a loop."""
    found, messages = [], []
    for number, lines in blocks(text):
        if lines[0].startswith("{"):
            continue
        at = 0
        while at < len(lines):
            first, part = at, [lines[at]]
            while at + 1 < len(lines) and (part[-1].endswith("\\") or open_quote(part) or
                                           part[0].startswith("for ") and lines[at] != "done"):
                at += 1
                part.append(lines[at])
            at += 1
            if not part[0].strip() or part[0].startswith("#"):
                continue
            if FIRST.match(part[0]):
                found.append(Command(path, number + first, "\n".join(part)))
            else:
                messages.append("%s:%d: not a command that is known here: %s" % (path, number + first, part[0]))
    return found, messages


def open_quote(lines):
    try:
        shlex.split("\n".join(lines), comments=True)
    except ValueError:
        return True
    return False


# --- what texts name ------------------------------------------------------------------------------
def check_names(tree, path, text, facts):
    """Links, files of the tree, commands and configuration keys in a document."""
    messages = []
    folders = "core|data|models|optim|eval|train|configs|scripts|tests|docs"
    for number, line in enumerate(text.splitlines(), 1):
        where = "%s:%d: " % (path, number)
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)", line):
            if "://" not in link and not os.path.exists(os.path.join(tree, os.path.dirname(path), link)):
                messages.append(where + "a link to nothing: " + link)
        for code in re.findall(r"`([^`]+)`", line):
            name = code.split()[0]
            if re.fullmatch(r"(%s)/[a-z0-9_./-]+" % folders, name) and not os.path.exists(os.path.join(tree, name)):
                messages.append(where + "no such file: " + name)
            words = code.split()
            if re.fullmatch("--[a-z][a-z-]+", name) and name not in facts["options"]:
                messages.append(where + "no such option: " + code)
            if name == "radialog" and len(words) > 1 and re.fullmatch("[a-z]+", words[1]) and \
                    words[1] not in facts["commands"]:
                messages.append(where + "no such command: " + code)
            key = re.fullmatch(r"([a-z]+)\.([a-z_]+)(=.*)?", code)
            if key and key.group(1) in facts["sections"] and ".".join(key.groups()[:2]) not in facts["keys"] and \
                    key.group(2) not in ("csv", "json", "safetensors"):
                messages.append(where + "no such key: " + code)
    return messages


def program_facts(program):
    """Names of all commands, options, configuration keys and of their sections, as the program's help has them."""
    def said(*words):
        return subprocess.run([program] + list(words) + ["--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=True).stdout.decode()
    names = re.findall(r"^  radialog (\w+(?: \w+)?)  ", said(), re.MULTILINE)
    helps = [said(*name.split()) for name in names]
    keys = {k for text in helps for k in re.findall(r"^  ([a-z]+\.[a-z_]+) ", text, re.MULTILINE)}
    options = OPTIONS_OF_OTHERS.union(*(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE) for text in helps))
    return {"commands": {n.split()[0] for n in names}, "keys": keys, "sections": {k.split(".")[0] for k in keys},
            "options": options}


# --- running --------------------------------------------------------------------------------------
def replaced(c):
    """The command's text as it is run."""
    text = c.text
    for pattern, old, new, _ in INSTEAD:
        text = text.replace(old, new) if fnmatch.fnmatchcase(c.plain, pattern) else text
    return text


def listed(c):
    return any(fnmatch.fnmatchcase(c.plain, pattern) for pattern, _ in NOT_RUN)


def run_all(commands, box):
    """Runs COMMANDS by one shell in the folder BOX; a message, or None."""
    script = ENVIRONMENT.split("\n")
    for i, c in enumerate(commands):
        anew, text = ANEW.match(c.plain), replaced(c)
        source = next((INPUT[k] for k in INPUT if c.plain.startswith(k + " ")), "/dev/null")
        script += ["echo %d >at" % i]
        script += ["[ -e {0}.first ] || mv {0} {0}.first 2>/dev/null; rm -rf {0}".format(anew.group(1))] if anew else []
        script += [SERVE % text if c.plain.startswith(SERVER) else "{ %s\n} <%s || exit 1" % (text, source)]
    result = subprocess.run(["bash", "-c", "\n".join(script)], cwd=box, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, check=False)
    if not result.returncode:
        return None
    with open(os.path.join(box, "at"), encoding="ascii") as file:
        c = commands[int(file.read())]
    said = result.stdout.decode(errors="replace").splitlines()[-12:]
    return c.where() + "fails: %s\n    %s" % (c.plain, "\n    ".join(said))


def check_words(tree, c, variables, box):
    """Whether radialog understands a command that is not run, where VARIABLES are set; a message, or None."""
    for word in c.plain.split():
        if word.startswith("scripts/") and not os.access(os.path.join(tree, word), os.X_OK):
            return c.where() + "no such script: " + word
    line = re.search(r"(?:^|[ /])radialog (.*)", c.text, re.DOTALL)
    if not line:
        return None
    shell = "\n".join(variables + ["printf '%s\\0' " + line.group(1)])
    words = subprocess.run(["bash", "-c", shell], stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")[:-1]
    with open(os.path.join(box, "words.json"), "w", encoding="utf-8") as file:
        json.dump({"format": "radialog-pipeline", "version": 1, "dir": "words",
                   "stages": [{"name": "words", "run": words}]}, file)
    result = subprocess.run(["radialog", "run", "words.json", "--dry-run"], cwd=box, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, check=False)
    if result.returncode:
        return c.where() + "is not understood: %s\n    %s" % (c.plain, result.stdout.decode().strip())
    return None


def unused(commands):
    """Entries of the lists that match nothing."""
    messages = ["docs.py: NOT_RUN matches no command: " + p for p, _ in NOT_RUN
                if not any(fnmatch.fnmatchcase(c.plain, p) for c in commands)]
    return messages + ["docs.py: INSTEAD matches no command: %s, %s" % (pattern, old) for pattern, old, _, _ in INSTEAD
                       if not any(fnmatch.fnmatchcase(c.plain, pattern) and old in c.text for c in commands)]


def check_document(tree, path, commands, box):
    """Runs a document's commands in the folder BOX; messages."""
    start = time.time()
    messages, left = [], [c for c in commands if listed(c)]
    variables = [c.text for c in commands if re.match("[a-z]+=", c.text)]
    for c in left:
        messages.append(check_words(tree, c, variables, box))
    messages.append(run_all([c for c in commands if c not in left], box))
    print("%s: %d commands, %d of them run, %.1f s" % (path, len(commands), len(commands) - len(left),
                                                       time.time() - start), flush=True)
    return [m for m in messages if m]


def make_box(box, first):
    """What the README's commands have left, without its pipeline."""
    shutil.copytree(first, box, symlinks=True)
    shutil.rmtree(os.path.join(box, "runs/paper"), ignore_errors=True)
    if os.path.exists(os.path.join(box, "shards.first")):
        shutil.rmtree(os.path.join(box, "shards"), ignore_errors=True)
        os.rename(os.path.join(box, "shards.first"), os.path.join(box, "shards"))


def run_documents(tree, program, paths, found):
    """Runs the README's commands, then all others' by two documents at a time; messages."""
    with tempfile.TemporaryDirectory() as work:
        first = os.path.join(work, "first")
        for name in ("bin/radialog", "build/cpu-release/radialog"):
            os.makedirs(os.path.join(first, os.path.dirname(name)))
            os.symlink(program, os.path.join(first, name))
        os.environ["PATH"] = os.path.join(first, "bin") + ":" + os.environ["PATH"]
        os.chdir(first)
        try:
            docs_sandbox.make(tree)
        except RuntimeError as error: # what the documents stand on does not work
            return ["the sandbox: %s" % error]
        messages = check_document(tree, "README.md", found["README.md"], first)

        def check(path):
            box = os.path.join(work, os.path.basename(path))
            make_box(box, first)
            return check_document(tree, path, found[path], box)
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for more in pool.map(check, [p for p in paths if p != "README.md" and found[p]]):
                messages += more
        os.chdir(tree)
    return messages


def check_tree(tree, program, only):
    os.chdir(tree)
    paths = ["README.md"] + sorted(glob.glob("docs/*.md"))
    facts, found, messages = program_facts(program), {}, []
    for path in paths + ["CONTRIBUTING.md"]:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        messages += check_names(tree, path, text, facts)
        found[path], wrong = commands_of(path, text)
        messages += wrong
    messages += unused([c for path in paths for c in found[path]])
    messages += run_documents(tree, program, only or paths, found)
    return messages, sum(len(c) for c in found.values())


# --- mistakes that must be found ------------------------------------------------------------------
FACTS = {"commands": {"train"}, "options": {"--out"}, "keys": {"train.batch"}, "sections": {"train"}}
NAMES = [
    ("see [memory](memory.md)\n", "a link to nothing"), ("`core/gone.h`", "no such file"),
    ("`radialog fly there`", "no such command"), ("`--ou DIR`", "no such option"), ("`train.bach`", "no such key"),
    ("`train.bach=3`", "no such key"),
]
BLOCKS = [  # text, plain commands that must be found in it
    ("a\n\n    radialog x \\\n        --y    # z\n    radialog b\n", ["radialog x --y", "radialog b"]),
    ("```\nscripts/a.sh\n```\n```\n{ json }\n```\n", ["scripts/a.sh"]),
    ("## Title\n    for i in 1 2; do\n        radialog $i\n    done\n    A=1 scripts/b.sh\n",
     ["for i in 1 2; do radialog $i done", "A=1 scripts/b.sh"]),
    ("    a=\"1\n      2\"\n\n    radialog $a\n", ["a=1 2", "radialog $a"]),
    ("- an item\n    radialog of the item's text\n\n    { \"a\": 1 }\n", []),
]


def self_test():
    failures = []
    for text, words in NAMES:
        messages = check_names("/", "docs/a.md", text, FACTS)
        if len(messages) != 1 or words not in messages[0]:
            failures.append("%r: %s instead of %s" % (text, messages, words))
    if check_names("/", "docs/a.md", "`train.batch=3`, `radialog train lora`, [a](https://a.b), `core/*.h`", FACTS):
        failures.append("a good text is refused")
    for text, expected in BLOCKS:
        plain = [" ".join(c.plain.split()) for c in commands_of("a.md", text)[0]]
        if plain != expected:
            failures.append("%r: %s" % (text, plain))
    if not all(commands_of("a.md", t)[1] for t in ("    radialog x\n    fly there\n", "    fly there\n")):
        failures.append("a line that is no command is passed over")
    if len(unused([])) != len(NOT_RUN) + len(INSTEAD):
        failures.append("entries without a command are passed over")
    with tempfile.TemporaryDirectory() as box:
        good, bad = Command("a.md", 1, "a='x y'"), Command("a.md", 2, "test \"$a\" = x")
        if run_all([good], box) or "a.md:2: fails" not in (run_all([good, bad, good], box) or ""):
            failures.append("a command that fails is passed over")
    return failures


def main(arguments):
    if arguments == ["--self-test"]:
        failures = self_test()
        print("\n".join(failures) if failures else "docs.py: every mistake is found")
        return 1 if failures else 0
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    tree, program = (os.path.abspath(a) for a in arguments[:2])
    messages, count = check_tree(tree, program, arguments[2:])
    print("\n".join(messages) if messages else "docs.py: %d commands are as the program has them" % count)
    return 1 if messages else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
