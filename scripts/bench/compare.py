#!/usr/bin/env python3
"""compare.py STAGE...: runs radialog's benchmarks and their PyTorch peers in turn (A B A B ...) and writes what came out
into docs/benchmarks.md. Called by scripts/bench.sh, which checks what must be there."""
import argparse
import datetime
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = os.path.join(ROOT, "scripts", "bench")
PAGE = os.path.join(ROOT, "docs", "benchmarks.md")
LLAMA = os.path.join(HERE, "llama")  # a folder with the config.json of the language model
STAGES = ["classifier", "encoder", "aligner", "lora", "generate", "loader", "ingest", "tokenizer"]


class Contestant:
    """A process that waits for its turn: warm after the constructor, one round per turn()."""

    def __init__(self, name, command, environment):
        self.name, self.times, self.cpu, self.facts = name, [], [], {}
        self.process = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        self.read("ready")

    def read(self, expected=None):
        line = self.process.stdout.readline()
        if not line or (expected and line.strip() != expected):
            self.process.kill()
            raise RuntimeError("%s ended early: %s" % (self.name, line.strip() or "no output"))
        return line

    def turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        seconds, cpu = map(float, self.read().split())
        self.times.append(seconds)
        self.cpu.append(cpu)
        return seconds

    def finish(self):
        self.process.stdin.close()
        self.facts = json.loads(self.process.stdout.read())
        if self.process.wait():
            raise RuntimeError("%s failed" % self.name)

    def drop(self):
        self.process.kill()
        self.process.wait()


class Bench:
    def __init__(self, options):
        self.options = options
        self.environment = dict(os.environ, OMP_NUM_THREADS=str(options.threads), ATEN_CPU_CAPABILITY="avx512",
                                PYTHONWARNINGS="ignore")
        self.environment.pop("GOMP_SPINCOUNT", None)
        self.versions = {}

    def ours(self, name, *words):
        command = [self.options.radialog, "bench", *words, "--rounds", str(self.options.pairs), "--paced", "--json",
                   "--quiet"]
        environment = {k: v for k, v in self.environment.items() if k != "OMP_NUM_THREADS"}
        return Contestant(name, command, environment)

    def peer(self, name, script, *words):
        return Contestant(name, [self.options.python, os.path.join(HERE, script), *words], self.environment)

    def best_peer(self, name, script, ways):
        """The fastest of WAYS in one round each; the others are dropped. Ways that fail are passed over."""
        best, fastest = None, None
        for way in ways:
            try:
                one = self.peer("%s (%s)" % (name, " ".join(w.lstrip("-") for w in way if not w.startswith("--")) or
                                             "plain"), script, *way, *self.shape)
            except RuntimeError as error:
                print("bench: passed over: %s" % error, file=sys.stderr)
                continue
            seconds = one.turn()
            one.times.clear()
            one.cpu.clear()
            if fastest is None or seconds < fastest:
                if best:
                    best.drop()
                best, fastest = one, seconds
            else:
                one.drop()
        if not best:
            raise RuntimeError("%s: no way of running it works" % name)
        return best

    def alternate(self, contestants):
        for pair in range(self.options.pairs):
            # Every other pair runs the other way round, so that nobody always follows the same neighbour.
            for one in contestants if pair % 2 == 0 else contestants[::-1]:
                one.turn()
        for one in contestants:
            one.finish()
            self.versions.update({k: v for k, v in one.facts.items() if k in ("torch", "pillow", "transformers", "peft")})


def row(one, images, times, unit):
    facts = one.facts
    share = facts.get("share_of_peak")
    if "gflops" in facts:  # by the turns' median, not the report's own
        work = facts.get("gflop_per_image") or facts.get("gflop_per_pair") or facts["gflop_per_token"]
        share = work * images / statistics.median(one.times) / facts["peak_gflops"]
    return {"name": one.name, "rate": images / statistics.median(times), "median": statistics.median(times),
            "min": min(times), "max": max(times), "unit": unit, "share": share, "memory": facts["peak_memory_mb"]}


def table(rows, ours, others, what="images"):
    """Markdown: the rows, then our rate over each of the OTHERS."""
    lines = ["| | " + what + "/s | median | min | max | share of peak | peak memory |", "|---|---|---|---|---|---|---|"]
    for r in rows:
        share = "%.0f %%" % (100 * r["share"]) if r["share"] else ""
        lines.append("| %s | %.4g | %.4g %s | %.4g | %.4g | %s | %.0f MB |" % (
            r["name"], r["rate"], r["median"], r["unit"], r["min"], r["max"], share, r["memory"]))
    lines.append("")
    for mine in ours:
        for other in others:
            smallest = mine["rate"] * mine["median"] / mine["min"] / (other["rate"] * other["median"] / other["min"])
            lines.append("- %s: %.2f times the speed of %s (%.2f by the smallest times)" % (
                mine["name"], mine["rate"] / other["rate"], other["name"], smallest))
    return lines


def models(bench, stage, published, tuned):
    """classifier and encoder: ours in f32 and bf16, the peer as published (f32), the best f32 and the best bf16."""
    o = bench.options
    shape = ["--batch", str(o.batch), "--size", str(o.size or (488 if stage == "classifier" else 448))]
    bench.shape = shape
    script = "peer_%s.py" % stage
    threads = ["--threads", str(o.threads)]
    contestants, ours = [], []
    for precision in ["f32", "bf16"] if o.bf16 else ["f32"]:
        ours.append(bench.ours("radialog %s" % precision, stage, *shape, *threads, "--precision", precision))
        contestants.append(ours[-1])
        if precision == "f32":
            contestants.append(bench.peer("PyTorch f32 as published", script, *published, *shape))
        contestants.append(bench.best_peer("PyTorch %s tuned" % precision, script,
                                           [[*way, "--precision", precision] for way in tuned(precision)]))
    bench.alternate(contestants)
    rows = [row(c, o.batch, c.times, "s") for c in contestants]
    mine = [r for r in rows if r["name"].startswith("radialog")]
    lines = ["One %s of %d images of %s pixels, %d threads." % (
        "training step" if stage == "classifier" else "pass (patch embeddings and their mean)", o.batch,
        shape[-1], o.threads), ""]
    lines += table(rows, mine[:1], [rows[1], rows[2]])
    if len(mine) > 1:
        lines += table(rows, mine[1:], [rows[1], rows[-1]])[len(rows) + 3:]
    limits = ", ".join("%.0f GFLOP/s in %s" % (c.facts["peak_gflops"], c.facts["precision"]) for c in ours)
    lines += ["", "Peak: matrix products of 2048 through the same kernels, in the same run: %s. The model takes %.2f "
              "GFLOP an image." % (limits, ours[0].facts["gflop_per_image"])]
    return lines


def classifier(bench):
    tuned = [["--layout", layout, "--optimizer", "fused"] for layout in ("nchw", "channels_last")]
    if bench.options.compile:
        tuned.append(["--layout", "channels_last", "--optimizer", "fused", "--compile"])
    return models(bench, "classifier", ["--layout", "nchw", "--optimizer", "plain"], lambda precision: tuned)


def encoder(bench):
    def tuned(precision):
        forms = ["eager", "frozen"] + (["cast"] if precision == "bf16" else [])
        forms += ["compile"] if bench.options.compile else []
        return [["--layout", "channels_last", "--form", form] for form in forms]

    return models(bench, "encoder", ["--layout", "nchw", "--form", "eager"], tuned)


def fastest(bench, name, script, ways):
    """The fastest of WAYS in one round each, one after the other: together they may need more memory than there is.
    Ways that fail are passed over."""
    seconds = {}
    for i, way in enumerate(ways):
        try:
            one = bench.peer(name, script, *way, *bench.shape)
            seconds[i] = one.turn()
            one.drop()
            print("bench: %s, %s: %.3f s" % (name, " ".join(way), seconds[i]), file=sys.stderr)
        except RuntimeError as error:
            print("bench: passed over: %s (%s)" % (error, " ".join(way)), file=sys.stderr)
    if not seconds:
        raise RuntimeError("%s: no way of running it works" % name)
    return ways[min(seconds, key=seconds.get)]


def form(way):
    """The words of a way of running a peer that say what is special in it."""
    return ", ".join(w.lstrip("-") for w in way if not w.startswith("--") or w in ("--compile", "--merge", "--onednn"))


def aligner(bench):
    """Ours against the peer as published (f32), its best f32, its best bf16, and as published with the encoder in every
    step, which the reference runs although it is frozen: against our faster precision. Only two at a time, for their
    memory."""
    o = bench.options
    script, lines = "peer_aligner.py", []
    bench.shape = ["--batch", str(o.batch)]
    median = {}  # of ours, by precision
    for precision, way, name in [("f32", [], "PyTorch f32 as published"), ("f32", None, "")] + (
            [("bf16", None, "")] if o.bf16 else []) + [
                (None, ["--encoder", "448"], "PyTorch f32 as published, encoder in the loop")]:
        precision = precision or min(median, key=median.get)
        if way is None:
            ways = [["--precision", precision, "--rows", *way, "--optimizer", optimizer] for way, optimizer in (
                (["padded"], "fused"), (["packed"], "fused"), (["packed"], "foreach"))]
            way = fastest(bench, "PyTorch %s" % precision, script, ways)
            name = "PyTorch %s tuned (%s, %s)" % (precision, way[3], way[5])
        contestants = [bench.ours("radialog %s" % precision, "aligner", *bench.shape, "--threads", str(o.threads),
                                  "--precision", precision), bench.peer(name, script, *way, *bench.shape)]
        bench.alternate(contestants)
        facts, other = (c.facts for c in contestants)
        if any(facts[key] != other[key] for key in ("tokens", "parameters")):
            raise RuntimeError("%s: other texts or another model" % name)
        rows = [row(c, o.batch, c.times, "s") for c in contestants]
        median[precision] = statistics.median(contestants[0].times)
        lines += table(rows, rows[:1], rows[1:], "pairs")
        lines += ["- products of 2048 through the same kernels: %.0f GFLOP/s (the share's peak)" % facts["peak_gflops"],
                  ""]
    head = ("One training step of %d pairs, %d threads: the frozen encoder's features of 448 pixels given, texts of %d tokens "
            "together, %.1f M parameters with AdamW in f32. The model takes %.1f GFLOP a pair. Each pair of contestants "
            "has its own rounds.")
    return [head % (o.batch, o.threads, facts["tokens"], 1e-6 * facts["parameters"], facts["gflop_per_pair"]),
            "", *lines[:-1]]


def adapters(bench):
    """A training step of LoRA: ours, with and without what all prompts begin with made once, against the peer as
    published (f32), its best f32 and its best bf16."""
    o = bench.options
    script, lines, batch = "peer_lora.py", [], 2 * o.batch
    bench.shape = ["--batch", str(batch), "--model", LLAMA]
    for precision, published in [("f32", True), ("f32", False)] + ([("bf16", False)] if o.bf16 else []):
        way, name = [], "PyTorch %s as published" % precision
        if not published:
            ways = [["--rows", rows, "--precision", kind] for kind in
                    (["f32"] if precision == "f32" else ["autocast", "bf16"]) for rows in ("packed", "single")]
            ways += [[*w, "--onednn"] for w in ways if precision == "f32"]
            ways += [[*w, "--compile"] for w in ways if "packed" in w and o.compile]
            way = fastest(bench, "PyTorch %s" % precision, script, ways)
            name = "PyTorch %s tuned (%s)" % (precision, form(way))
        words = ["lora", "--batch", str(batch), "--set", "model.base=" + LLAMA, "--threads", str(o.threads),
                 "--precision", precision]
        contestants = [bench.ours("radialog %s" % precision, *words, "--set", "train.share_prefix=false"),
                       bench.ours("radialog %s, shared beginning once" % precision, *words),
                       bench.peer(name, script, *way, *bench.shape)]
        bench.alternate(contestants)
        facts, other = contestants[0].facts, contestants[2].facts
        if any(facts[key] != other[key] for key in ("tokens", "parameters")):
            raise RuntimeError("%s: other texts or another model" % name)
        rows = [row(c, facts["tokens"], c.times, "s") for c in contestants]
        lines += table(rows, rows[:2], rows[2:], "tokens")
        lines += ["- products of 2048 through the same kernels: %.0f GFLOP/s (the share's peak)" % facts["peak_gflops"],
                  ""]
    head = ("One training step of %d conversations, %d tokens together, of which %d are answers, %d threads: LLaMA of "
            "width 2048 with 8 layers and 32,001 words, frozen; adapters of rank 8 on q_proj and v_proj with dropout 0.05 "
            "and the projection of 32 image tokens, %.1f M parameters. As published: micro-batches of two, padded, "
            "logits of all positions. Each group has its own rounds.")
    return [head % (batch, facts["tokens"], facts["answers"], o.threads, 1e-6 * facts["parameters"]), "", *lines[:-1]]


def generate(bench):
    """Tokens behind prompts that were read, 1 and 12 answers at a time, in bf16."""
    o, lines, script, tokens = bench.options, [], "peer_generate.py", 64
    for batch in (1, 12):
        bench.shape = ["--batch", str(batch), "--tokens", str(tokens), "--model", LLAMA]
        ways = [["--merge", "--way", way] for way in ("generate", "dynamic", "static")]
        ways += [["--merge", "--way", way, "--compile"] for way in ("dynamic", "static") if o.compile]
        way = fastest(bench, "PyTorch bf16", script, ways)
        words = ["generate", "--batch", str(batch), "--tokens", str(tokens), "--set", "model.base=" + LLAMA, "--threads",
                 str(o.threads), "--precision", "bf16"]
        contestants = [bench.ours("radialog bf16", *words),
                       bench.peer("PyTorch bf16 as published", script, *bench.shape),
                       bench.ours("radialog bf16, adapters merged", *words, "--set", "generate.merge=true"),
                       bench.peer("PyTorch bf16 tuned (%s)" % form(way), script, *way, *bench.shape)]
        bench.alternate(contestants)
        rows = [row(c, batch * tokens, c.times, "s") for c in contestants]
        lines += ["%d at a time:" % batch if batch > 1 else "One answer at a time:", ""]
        lines += table(rows, rows[:1], rows[1:2], "tokens")
        lines += table(rows, rows[2:3], rows[3:], "tokens")[len(rows) + 3:]
        lines += ["- weights read at %.1f GB/s, adapters merged at %.1f GB/s" % tuple(
            contestants[i].facts["gb_per_second"] for i in (0, 2))]
        lines += ["- reading the prompts: " + ", ".join("%s %.0f ms" % (c.name, c.facts["ms_prompts"])
                                                        for c in contestants), ""]
    head = ("Greedy decoding of %d tokens behind prompts of about 170 that were read before (with 32 image tokens), %d "
            "threads: the language model of the part above, in bf16.")
    return [head % (tokens, o.threads), "", *lines[:-1]]


def loader(bench):
    o = bench.options
    lines = []
    with tempfile.TemporaryDirectory(prefix="radialog-bench-") as work:
        cache = os.path.join(work, "cache.npy")
        subprocess.run([o.python, os.path.join(HERE, "peer_ingest.py"), "--data", o.data, "--path", "tuned", "--save",
                        cache], check=True)
        contestants, images = [], {}
        for compression in ("none", "deflate"):
            shards = os.path.join(work, compression)
            subprocess.run([o.radialog, "ingest", "--source", "mimic", o.data, "--out", shards, "--compression",
                            compression, "--keep-without-findings", "--quiet", "--json"], check=True,
                           stdout=subprocess.DEVNULL)
            name = "radialog, %s" % {"none": "plain shards", "deflate": "deflated shards"}[compression]
            contestants.append(bench.ours(name, "loader", "--data", shards, "--threads", str(o.threads), "--batch",
                                          "64"))
        bench.shape = ["--data", cache]
        contestants.append(bench.peer("PyTorch DataLoader, 2 workers", "peer_loader.py", *bench.shape))
        contestants.append(bench.best_peer("PyTorch, whole batches", "peer_loader.py",
                                           [["--way", way] for way in ("index", "select", "copy")]))
        bench.alternate(contestants)
        rows = [row(c, c.facts["images"], c.times, "s") for c in contestants]
        for c in contestants:
            images[c.name] = c.facts["images"]
        lines += ["Random batches of 64 crops of 488 pixels from warm memory, %d threads; the peer reads one "
                  "memory-mapped array of bytes. A round is %s images." % (
                      o.threads, " or ".join("%d" % n for n in sorted(set(images.values())))), ""]
        lines += table(rows, rows[:2], rows[2:])
    return lines


def enlarge(bench, folder, work):
    """Images of FOLDER at 2544 x 3056 with a film's grain: the size of MIMIC-CXR's, and of its files."""
    code = ("import glob, numpy, sys\nfrom PIL import Image\nfiles = sorted(glob.glob(sys.argv[1] + '/**/*.jpg', "
            "recursive=True))[:int(sys.argv[3])]\nrng = numpy.random.default_rng(1)\nfor i, f in enumerate(files):\n"
            "    v = numpy.asarray(Image.open(f).convert('L').resize((2544, 3056), Image.BICUBIC), numpy.float32)\n"
            "    v = v + rng.normal(0, 2, v.shape) + 0.5\n"
            "    Image.fromarray(v.clip(0, 255).astype(numpy.uint8)).save('%s/%03d.jpg' % (sys.argv[2], i), "
            "quality=95)\n")
    subprocess.run([bench.options.python, "-c", code, folder, work, str(bench.options.large)], check=True)


def ingest(bench):
    o = bench.options
    lines = ["One thread; CPU time of all that is done: reading, decoding, stretching, resizing, cropping, and for "
             "radialog compression, checksums and writing the shard as well.", ""]
    with tempfile.TemporaryDirectory(prefix="radialog-bench-") as work:
        enlarge(bench, o.data, work)
        for title, folder in [("%s" % o.data_name, o.data), ("2544 x 3056 pixels", work)]:
            contestants = [bench.ours("radialog, %s" % c, "ingest", "--data", folder, "--threads", "1",
                                      "--compression", c) for c in ("none", "deflate")]
            contestants += [bench.peer("Python as published", "peer_ingest.py", "--data", folder),
                            bench.peer("Pillow, tuned", "peer_ingest.py", "--data", folder, "--path", "tuned")]
            bench.alternate(contestants)
            images = contestants[0].facts["images"]
            rows = [row(c, images, c.cpu, "s") for c in contestants]
            lines += ["%s, %d images:" % (title, images), ""] + table(rows, rows[:2], rows[2:]) + [""]
    return lines[:-1]


def drawn_texts(bench, work):
    """A file of drawn reports, a text a line, and a vocabulary of them."""
    o = bench.options
    texts, vocabulary = os.path.join(work, "texts.txt"), os.path.join(work, "vocab.txt")
    subprocess.run([o.radialog, "synth", os.path.join(work, "set"), "--studies", "400", "--seed", "1", "--max-side",
                    "256", "--quiet"], check=True, stdout=subprocess.DEVNULL)
    with open(texts, "w", encoding="utf-8") as out:
        for folder, folders, names in os.walk(os.path.join(work, "set", "mimic-cxr-reports")):
            folders.sort()
            for name in sorted(names):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    out.write(" ".join(file.read().split()) + "\n")
    subprocess.run([o.radialog, "tokenizer", "train", "--type", "wordpiece", texts, "--size", "2000", "--out",
                    vocabulary, "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return texts, vocabulary, "drawn reports, a vocabulary of their own"


def tokenizer(bench):
    o = bench.options
    with tempfile.TemporaryDirectory(prefix="radialog-bench-") as work:
        texts, vocabulary, name = o.texts, o.vocabulary, o.texts_name
        if not texts or not vocabulary:
            texts, vocabulary, name = drawn_texts(bench, work)
        words = ["--data", texts, "--vocabulary", vocabulary]
        contestants = [bench.ours("radialog", "tokenizer", *words),
                       bench.peer("BertTokenizer as published (Python)", "peer_tokenizer.py", *words),
                       bench.peer("BertTokenizerFast (Rust), batches", "peer_tokenizer.py", *words, "--way", "fast")]
        bench.alternate(contestants)
        facts = contestants[0].facts
        rows = [row(c, facts["texts"], c.cpu, "s") for c in contestants]
        lines = ["%s, %d texts, %d bytes, %d ids with at most 256 a text; one thread, CPU time." % (
            name, facts["texts"], facts["bytes"], facts["tokens"]), ""]
        return lines + table(rows, rows[:1], rows[1:], "texts")


def commit():
    run = subprocess.run(["git", "-C", ROOT, "log", "-1", "--format=%h"], capture_output=True, text=True, check=False)
    return run.stdout.strip() or "unknown"


def machine():
    if os.environ.get("RADIALOG_BENCH_MACHINE"):
        return os.environ["RADIALOG_BENCH_MACHINE"]
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        text = file.read()
    model = re.search(r"model name\s*:\s*(.*)", text)
    flags = re.search(r"flags\s*:\s*(.*)", text)
    flags = flags.group(1).split() if flags else []
    has = [name for flag, name in (("avx512f", "AVX-512"), ("avx512_bf16", "bf16")) if flag in flags]
    return "%d cores of %s%s" % (os.cpu_count(), model.group(1).strip() if model else platform.machine(),
                                 " with " + ", ".join(has) if has else "")


def write_page(stage, lines):
    """Replaces the part of STAGE; what stands outside the parts is people's."""
    os.makedirs(os.path.dirname(PAGE), exist_ok=True)
    text = "# Benchmarks\n\nWritten by `scripts/bench.sh`, part by part.\n"
    if os.path.exists(PAGE):
        with open(PAGE, encoding="utf-8") as file:
            text = file.read()
    begin, end = "<!-- begin %s -->" % stage, "<!-- end %s -->" % stage
    part = "\n".join([begin, *lines, end])
    if begin in text and end in text:
        text = text[:text.index(begin)] + part + text[text.index(end) + len(end):]
    else:
        text = text.rstrip("\n") + "\n\n" + part + "\n"
    with open(PAGE, "w", encoding="utf-8") as file:
        file.write(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", nargs="+", choices=[*STAGES, "all"])
    parser.add_argument("--radialog", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--texts", help="tokenizer: a file with a text a line (default: drawn reports)")
    parser.add_argument("--vocabulary", help="tokenizer: a BERT vocab.txt (default: one of the drawn reports)")
    parser.add_argument("--texts-name", default="the texts given")
    parser.add_argument("--data", default="", help="radiographs in the MIMIC-CXR-JPG layout")
    parser.add_argument("--data-name", default="the radiographs given")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=4, help="of the models; lora takes twice as many")
    parser.add_argument("--size", type=int, default=0, help="of the models' input; 0: the paper's")
    parser.add_argument("--large", type=int, default=8, help="enlarged images")
    parser.add_argument("--no-bf16", dest="bf16", action="store_false")
    parser.add_argument("--compile", action="store_true", help="try torch.compile as well (minutes)")
    parser.add_argument("--no-page", action="store_true", help="print only")
    options = parser.parse_args()
    for stage in STAGES[:-1] if "all" in options.stage else options.stage:
        bench = Bench(options)
        load = os.getloadavg()[0]
        print("bench: %s, %d pairs" % (stage, options.pairs), file=sys.stderr)
        if load > 0.5:
            print("bench: other programs are running (load %.1f): ratios of more than one thread will mislead" % load,
                  file=sys.stderr)
        lines = {"classifier": classifier, "encoder": encoder, "aligner": aligner, "lora": adapters,
                 "generate": generate, "loader": loader, "ingest": ingest, "tokenizer": tokenizer}[stage](bench)
        versions = ", ".join("%s %s" % (k, v) for k, v in sorted(bench.versions.items()))
        head = ["## %s" % stage, "", "%s; %s; commit %s; %s; median of %d alternating rounds; load before: %.1f." % (
            machine(), datetime.date.today().isoformat(), commit(), versions, options.pairs, load), ""]
        print("\n".join(head + lines) + "\n", flush=True)
        if not options.no_page:
            write_page(stage, head + lines)


try:
    main()
except (RuntimeError, subprocess.CalledProcessError) as failure:
    sys.exit("bench: %s" % failure)
