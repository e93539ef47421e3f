"""Every stage of the program with settings that take a second or less, for the drills.

A stage is a command that reads from `../in/` and writes to `out` or to files that begin so, in the folder it is run in:
wherever that folder is, the command is the same, and so are the bytes it writes."""
import hashlib
import json
import os
import re
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
MPIRUN = os.path.join(os.path.dirname(HERE), "ranks", "mpirun.sh")

ENCODER = """data.crop=512 data.size=64 model.stem=4 model.widths=[4,4,8,8] model.blocks=[1,1,1,1] model.vit_width=8
model.pooler_blocks=1 model.pooler_heads=2 model.joint_width=8"""
BERT = """model.width=16 model.layers=2 model.heads=2 model.inner=32 model.positions=64 data.max_tokens=48
model.vocabulary=../in/vocab.txt data.shards=../in/shards"""
TRAIN = """run.threads=1 train.batch=8 train.checkpoint_every=3 run.max_steps=14 run.dir=out"""
CLASSIFIER = ENCODER + " model.pool=2 model.hidden=8 data.shards=../in/shards " + TRAIN
LORA = """data.instruct=../in/instruct data.embeddings=../in/embeddings.h5 model.base=../in/lm/checkpoints/best lora.rank=4
train.weighting=token """ + TRAIN

WORDS = f"instruct.prompts={ROOT}/configs/demo/prompts.json instruct.task_prompts={ROOT}/configs/prompts/tasks.json"


class Stage:
    """NAME; WORDS of the command; SETTINGS, `section.key=value` words; what it is called as an input of later stages; by
    how many ranks it runs; whether it goes on where a run before it stopped rather than beginning anew; whether it
    starts other commands."""

    def __init__(self, name, words, settings="", gives=None, ranks=1, goes_on=False, starts=False):
        self.name, self.ranks, self.gives, self.goes_on, self.starts = name, ranks, gives, goes_on, starts
        self.words = words.split() + [w for s in settings.split() for w in ("--set", s)]
        self.trains = self.words[0] == "train"


STAGES = [
    Stage("synth", "synth out --studies 12 --seed 1 --max-side 400"),
    Stage("ingest", "ingest --source mimic ../in/data --out out --shard-records 4 --threads 2", gives="shards",
          goes_on=True),
    Stage("wordpiece", "tokenizer train --type wordpiece --size 200 --out out.txt ../in/shards", gives="vocab.txt"),
    Stage("sentencepiece", "tokenizer train --type sentencepiece --size 320 --out out.model ../in/shards",
          gives="pieces.model"),
    Stage("classifier", "train classifier", CLASSIFIER, gives="classifier", goes_on=True),
    Stage("classify", "classify ../in/shards --split train --checkpoint ../in/classifier --out out.jsonl"),
    Stage("chexbert", "train chexbert", BERT + " " + TRAIN, gives="chexbert", goes_on=True),
    Stage("aligner", "train aligner", ENCODER + " " + BERT + " " + TRAIN + """ model.queries=4 model.projection=8
          optim.schedule=constant optim.warmup_steps=0 model.encoder=../in/classifier""", gives="aligner", goes_on=True),
    Stage("embed", "embed ../in/shards --checkpoint ../in/aligner --out out.h5", gives="embeddings.h5"),
    Stage("label", "label ../in/shards --checkpoint ../in/chexbert --out out.csv"),
    Stage("instruct", "instruct ../in/shards --out out", f"""instruct.tokenizer=../in/pieces.model instruct.image_tokens=4
          instruct.prompts={ROOT}/configs/demo/prompts.json instruct.findings_eval=none instruct.cutoff=600""",
          gives="instruct", goes_on=True),
    Stage("lm", "train lm", TRAIN + """ data.instruct=../in/instruct model.tokenizer=../in/pieces.model model.width=32
          model.layers=2 model.heads=4 model.inner=48 model.positions=600 train.supervise=answers""", gives="lm",
          goes_on=True),
    Stage("lora", "train lora", LORA, gives="lora", goes_on=True),
    Stage("generate", "generate ../in/lora --split test --out out.jsonl", """data.instruct=../in/instruct
          data.embeddings=../in/embeddings.h5 model.base=../in/lm/checkpoints/best generate.max_new_tokens=24""",
          gives="reports.jsonl"),
    Stage("instruct, tasks", "instruct ../in/shards --out out --to out.json --llava", f"""instruct.image_tokens=4
          instruct.tokenizer=../in/pieces.model {WORDS} instruct.findings_eval=none instruct.cutoff=600
          instruct.tasks=RG,CPbQA,CPaQA,IG""", goes_on=True),
    Stage("answer", "answer ../in/lm/checkpoints/best --shards ../in/shards --limit 4 --out out.jsonl", f"""{WORDS}
          model.tokenizer=../in/pieces.model generate.max_new_tokens=12"""),
    Stage("ask", "ask ../in/lora --task CPaQA --reports ../in/reports.jsonl --shards ../in/shards --out out", f"""{WORDS}
          data.instruct=../in/instruct data.embeddings=../in/embeddings.h5 model.base=../in/lm/checkpoints/best"""),
    Stage("evaluate", "evaluate ../in/reports.jsonl --checkpoint ../in/chexbert --shards ../in/shards --out out"),
    Stage("export peft", "export ../in/lora --format peft --out out"),
    Stage("export merged", "export ../in/lora --format merged --base ../in/lm/checkpoints/best --out out"),
    Stage("export lavis", "export ../in/aligner --format lavis --out out.safetensors"),
    Stage("run", f"run {HERE}/run.json --dir out", " ".join("classifier." + w for w in (ENCODER + """ model.pool=2 model.hidden=8
          run.threads=1 train.batch=8 train.checkpoint_every=3 run.max_steps=14""").split()), goes_on=True, starts=True),
    Stage("classifier, 2 ranks", "train classifier", CLASSIFIER, ranks=2, goes_on=True),
    Stage("lora, 2 ranks", "train lora", LORA, ranks=2, goes_on=True),
]


class Failure(Exception):
    """Something that a drill must not find."""


class Pipeline:
    """The stages, their inputs and what each writes when nothing happens to it, below the folder WORK."""

    def __init__(self, program, work, stages, studies=40):
        self.program, self.work, self.stages = os.path.abspath(program), os.path.abspath(work), stages
        self.seconds, self.wanted, self.count = {}, {}, 0
        self.environment = dict(os.environ, OMP_WAIT_POLICY="passive", OMP_NUM_THREADS="1")
        os.makedirs(os.path.join(self.work, "in"))
        subprocess.run([self.program, "synth", os.path.join(self.work, "in", "data"), "--studies", str(studies), "--seed",
                        "1", "--max-side", "400", "--quiet"], check=True, env=self.environment)

    def folder(self):
        self.count += 1
        path = os.path.join(self.work, "run-%05d" % self.count)
        os.mkdir(path)
        return path

    def command(self, stage, extra=()):
        words = [self.program] + stage.words + list(extra) + ["--quiet"]
        return [MPIRUN, str(stage.ranks)] + words if stage.ranks > 1 else words

    def start(self, stage, folder, extra=(), more=None):
        """In a process group of its own, stderr in the folder's file `said`."""
        with open(os.path.join(folder, "said"), "wb") as said:
            return subprocess.Popen(self.command(stage, extra), cwd=folder, stdout=subprocess.DEVNULL, stderr=said,
                                    start_new_session=True, env=dict(self.environment, **(more or {})))

    def run(self, stage, folder, extra=(), more=None, limit=300):
        """(exit status, lines of stderr that are no warnings)"""
        process = self.start(stage, folder, extra, more)
        code = process.wait(limit)
        return code, said(folder)

    def finish(self, stage, folder):
        """Runs the stage to its end and demands the bytes of the straight run."""
        code, lines = self.run(stage, folder)
        # What was whole already is not written again: some commands say so.
        if code and not (code == 2 and re.search("is there already|already holds", " ".join(lines))):
            raise Failure(f"{stage.name}: the run afterwards ends with {code}: {lines}")
        self.compare(stage, folder)

    def compare(self, stage, folder):
        found, wanted = contents(folder, stage.starts), self.wanted[stage.name]
        for name in sorted(set(found) | set(wanted)):
            if found.get(name) != wanted.get(name):
                how = "differs" if name in found and name in wanted else "is missing" if name in wanted else "is left over"
                raise Failure(f"{stage.name}: {name} {how}")

    def straight(self, stage):
        """The undisturbed run of a stage; its output becomes an input."""
        folder, begin = self.folder(), time.monotonic()
        code, lines = self.run(stage, folder)
        if code:
            raise Failure(f"{stage.name}: ends with {code}: {lines}")
        self.seconds[stage.name] = time.monotonic() - begin
        self.wanted[stage.name] = contents(folder, stage.starts)
        if stage.gives:
            out = next(n for n in os.listdir(folder) if n.startswith("out"))
            os.rename(os.path.join(folder, out), os.path.join(self.work, "in", stage.gives))


def said(folder):
    with open(os.path.join(folder, "said"), errors="replace") as f:
        return [line.rstrip("\n") for line in f if not line.startswith("warning: ")]


def digest(path):
    """Of a file; a run's log of steps without its times, a pipeline's state without its own."""
    with open(path, "rb") as f:
        data = f.read()
    if os.path.basename(path) == "pipeline.state.json":
        state = json.loads(data)
        for part, timed in (("stages", "seconds"), ("paths", "looks")):
            for entry in state[part].values():
                del entry[timed]
        data = json.dumps(state, sort_keys=True).encode()
    if os.path.basename(path) == "metrics.jsonl":
        timed = lambda key: key == "ms" or key.endswith("_per_second") or key == "seconds"
        rows = [{k: v for k, v in json.loads(line).items() if not timed(k)} for line in data.splitlines()]
        data = json.dumps(rows).encode()
    return hashlib.sha256(data).hexdigest()


def contents(folder, last=False):
    """Digests of all that a stage has written, by path; what a run tells people, with its times, is not its output.
    LAST: of checkpoints the last alone, as one more is written where a run was asked to stop."""
    found = {}
    for place, folders, files in os.walk(folder):
        if os.path.basename(place) == "said":
            continue
        steps = sorted(name for name in folders if name.startswith("step-"))
        folders[:] = [name for name in folders if not last or name not in steps[:-1]]
        told = ("log.txt", "said", "report.html" if "metrics.jsonl" in files else "")
        for name in files:
            path = os.path.join(place, name)
            if name not in told and not name.startswith("events.out.tfevents") and not os.path.islink(path):
                found[os.path.relpath(path, folder)] = digest(path)
    return found


def finished(stage, folder):
    """What a run has finished, and must not lose: {path: identity} of shards; of a training run the latest step; of a
    pipeline when its stages ran: {name: seconds}."""
    out = os.path.join(folder, "out")
    if stage.starts:
        state = os.path.join(out, "pipeline.state.json")
        if not os.path.exists(state):
            return {}
        with open(state) as f:
            return {name: s["seconds"] for name, s in json.load(f)["stages"].items() if s["done"]}
    if stage.trains:
        steps = [int(n[5:]) for n in (os.listdir(os.path.join(out, "checkpoints"))
                                      if os.path.isdir(os.path.join(out, "checkpoints")) else [])
                 if n.startswith("step-") and n[5:].isdigit()]
        return max(steps, default=0)
    if not stage.goes_on or not os.path.isdir(out):
        return {}
    return {n: os.stat(os.path.join(out, n)).st_ino for n in os.listdir(out) if n.endswith(".h5")}


def check_kept(stage, folder, before):
    """That the run behind a kill began with what was there."""
    if stage.trains:
        with open(os.path.join(folder, "out", "log.txt"), errors="replace") as f:
            starts = [line for line in f if "resuming from step" in line or "starting at step" in line]
        wanted = f"resuming from step {before} of" if before else "starting at step 0 of"
        if wanted not in starts[-1]:
            raise Failure(f"{stage.name}: step {before} was finished, but the log says: {starts[-1].strip()}")
    elif stage.goes_on:
        now = finished(stage, folder)
        lost = [n for n in before if now.get(n) != before[n]]
        if lost:
            raise Failure(f"{stage.name}: {lost[0]} was finished and has been made again")
