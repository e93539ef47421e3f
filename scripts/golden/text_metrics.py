"""Tokens and scores of texts from NLTK, pycocoevalcap and its METEOR.

    python3 -m venv /tmp/golden && /tmp/golden/bin/pip install nltk==3.8.1 pycocoevalcap==1.2     (and a Java)
    /tmp/golden/bin/python scripts/golden/text_metrics.py                writes tests/golden/{text_metrics.csv,stems.txt,meteor}
    /tmp/golden/bin/python scripts/golden/text_metrics.py OUT.csv REPORTS.tgz [PUNKT [COUNT]]
                                                 the same table of real reports (scripts/check_text_metrics.sh)

The table: text and reference, the tokens of both, BLEU-1 to 4, ROUGE-L and METEOR (exact and stem) of each pair, and a
last row "corpus" with the scores of all. The golden texts are put together here from sentences of this project and of
signs that the word rules know. Real ones are the reports of REPORTS.tgz (Open-i's XML): each as the text of the next
one, and of itself with sentences gone or in another order.

Stems are those of the Snowball in METEOR's jar (NLTK's differs in a few).

RADIALOG_METEOR_STAGES chooses METEOR's stages for real reports.

PUNKT is a folder punkt_tab/english as NLTK publishes it. Without one, and for the golden table, Punkt runs with the
built-in table of eval/sentences_table.c.
"""
import collections
import csv
import gzip
import os
import pathlib
import random
import re
import subprocess
import sys
import tarfile
import tempfile
import xml.etree.ElementTree
import zipfile

import pycocoevalcap.meteor.meteor
from nltk.tokenize.destructive import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktParameters, PunktSentenceTokenizer
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.rouge.rouge import Rouge

ROOT = pathlib.Path(__file__).resolve().parents[2]
METEOR = pathlib.Path(pycocoevalcap.meteor.meteor.__file__).parent / "meteor-1.5.jar"
WORDS = NLTKWordTokenizer()
STAGES = os.environ.get("RADIALOG_METEOR_STAGES", "exact stem")


def built_in():
    """The table of eval/sentences_table.c, read from there."""
    source = (ROOT / "eval" / "sentences_table.c").read_text()
    listed = re.search(r"abbreviations\[\] = \{(.*?)\};", source, re.S).group(1)
    parameters = PunktParameters()
    parameters.abbrev_types = set(re.findall(r'"([^"]+)"', listed))
    parameters.ortho_context = collections.defaultdict(lambda: 1 << 1 | 1 << 5)
    return parameters


def lines(path):
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line]


def table(folder):
    folder, parameters = pathlib.Path(folder), PunktParameters()
    parameters.abbrev_types = set(lines(folder / "abbrev_types.txt"))
    parameters.sent_starters = set(lines(folder / "sent_starters.txt"))
    parameters.collocations = {tuple(x.split("\t")) for x in lines(folder / "collocations.tab")}
    for x in lines(folder / "ortho_context.tab"):
        word, seen = x.split("\t")
        parameters.ortho_context[word] = int(seen)
    return parameters


def tokens(splitter, text):
    text = text.replace("\n", "").replace("<s>", "").replace("</s>", "")
    return " ".join(w for s in splitter.tokenize(text) for w in WORDS.tokenize(s)).lower()


class Meteor:
    """The jar with chosen stages, by the protocol of pycocoevalcap."""

    def __init__(self, stages=STAGES, options=()):
        self.process = subprocess.Popen(
            ["java", "-jar", "-Xmx2G", str(METEOR), "-", "-", "-stdio", "-l", "en", "-norm", "-m", stages, *options],
            cwd=METEOR.parent, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def ask(self, line, answers=1):
        self.process.stdin.write((line + "\n").encode())
        self.process.stdin.flush()
        out = [self.process.stdout.readline().decode().strip() for _ in range(answers)]
        return out if answers > 1 else out[0]

    def scores(self, texts, references):
        each = [self.ask(" ||| ".join(("SCORE", r, t.replace("|||", "").replace("  ", " "))))
                for t, r in zip(texts, references)]
        answer = self.ask("EVAL ||| " + " ||| ".join(each), len(each) + 1)
        return [float(x) for x in answer[:-1]], float(answer[-1])


def write(path, splitter, pairs):
    texts = [tokens(splitter, t) for t, _ in pairs]
    references = [tokens(splitter, r) for _, r in pairs]
    candidate = {i: [t] for i, t in enumerate(texts)}
    truth = {i: [r] for i, r in enumerate(references)}
    bleu, each_bleu = Bleu(4).compute_score(truth, candidate, verbose=0)
    rouge, each_rouge = Rouge().compute_score(truth, candidate)
    each_meteor, meteor = Meteor().scores(texts, references)
    with open(path, "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["text", "reference", "tokens", "reference_tokens", "bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l",
                      "meteor"])
        number = "{:.17g}".format
        for i, (text, reference) in enumerate(pairs):
            out.writerow([text, reference, texts[i], references[i]] + [number(b[i]) for b in each_bleu] +
                         [number(each_rouge[i]), number(each_meteor[i])])
        out.writerow(["corpus", "", "", ""] + [number(b) for b in bleu] + [number(rouge), number(meteor)])


SENTENCES = """The heart is normal in size. The lungs cannot be assessed below the left hemidiaphragm.
A 3.5 cm nodule stands in the right upper lobe, cf. series 2. There is no effusion!
No pneumothorax, no effusion: nothing acute. Compared with 3/4/2011, 10:45 a.m. the lines are unchanged.
Dr. Smith was told (by phone) at 4 p.m. on Monday. He agreed.
The tip ends 4 cm above the carina... The patient's tube isn't seen; it's out.
1. Small effusion on the left. 2. Mild edema. 3. no change
"Unchanged" since the prior film [of May]. ''Old'' rib fractures {3rd, 4th}.
Is there a mass? Perhaps!! See e.g. the CT; i.e. series 5 vs. series 6.
The T. spine is straight. A. Normal. b. abnormal -- see above -- and more.
Lungs are clear and well-aerated bilaterally. Lung is clear
Findings are consistent with resolving pneumonias, increased opacity, opacities increasing.
I'd say they'll clear; we've seen 100% of these & more @ $5 #7 *note*.
Sternotomy wires are intact.No acute osseous abnormality.Stable.
Heart size is 15.5 x 12.3 cm.The aorta is tortuous , calcified .
`Quoted' 'a' 's 'tis so and 'twas; gimme, gonna, wanna see, more'n that, d'ye?
« Größe » normal. Ödem ‘nicht’ “gesehen”. Café-au-lait – naïve — end.
CANNOT gotta lemme, GIMME 'TIS 'twas MORE'N d'ye wanna go. THIS ISN'T WE'LL they'RE it'D I'M I'VE you've 'n' done:
Right-sided PICC line, tip in the SVC (superior vena cava.) Left is unremarkable.""".split("\n")


FORMS = """lung lungs|opacity opacities|increase increased increasing increases|clear clears cleared clearing|effusion
effusions|the|is|of|and|no|normal normally normalize|stable stability stabilized|rib ribs|not|with|. |, |left|right""".replace("\n", " ")
FUNCTION = """the , . to of and a in that for " is on 's it with was as said at he by be from have has are his but an this not i
will they ) -rrb- ( -lrb- who their had we which were been more or s its would about new one after you : also up when there
than $ all out her people she year two - can if last first over other into some what so no time years could ? 't — '"""


def words_of(draw, forms, least, most):
    """Words of few kinds: many ways to align two such texts."""
    return [draw.choice(draw.choice(forms).split() or [","]) for _ in range(draw.randint(least, most))]


def many_ways(draw):
    forms = FORMS.split("|")
    for n in range(60):
        some = forms if n % 3 else draw.sample(forms, 5)
        yield " ".join(words_of(draw, some, 3, 45)), " ".join(words_of(draw, some, 3, 45))
    for one in FUNCTION.split():
        yield f"clear {one} heart", f"lungs {one}"
    for one in ("v", "vs", "rev", "i.e", "e.g", "pp", "no", "x", "a.b", "3.4", "u.s"):
        for other in ("4", "b", "(c)"):
            yield f"a {one}. {other}", f"b {one} . {other}"
            yield f"a {one}. {other}", f"b {one}. {other}"
    for sign in ("-", "--", "–", "'", "''", ",", "`", "’", "“", '"', "...", "…", "/", "º", "s'"):
        for a, b in (("a", "b"), ("1", "b"), ("a", "2"), ("1", "2"), ("a,", ",b"), ("é", "ж"), (".", "x")):
            yield f"{a}{sign}{b}{sign}{a} {sign}{b} {a}{sign}", f"{a} {sign} {b} {sign} {a}{sign}{b}"


def synthetic():
    draw = random.Random(5)
    pieces = [x for line in SENTENCES for x in re.split(r"(?<=[.!?]) ", line)]
    pairs = [(a, b) for a, b in zip(SENTENCES, SENTENCES[1:] + SENTENCES[:1])] + [(a, a) for a in SENTENCES[:4]]
    pairs += [("", ""), ("", "Stable."), ("Stable.", ""), (".", "."), ("...", ". . ."), (" \n ", "x"), ("<s>a</s>", "A\n")]
    for _ in range(60):
        reference = draw.sample(pieces, draw.randint(1, 7))
        text = [x for x in reference if draw.random() < .7] + draw.sample(pieces, draw.randint(0, 3))
        draw.shuffle(text)
        pairs.append((draw.choice((" ", " ", "\n", "  ", "")).join(text), " ".join(reference)))
    signs = list("""'"`.,:;!?()[]{}<>-*@#$%&""") + ["''", "``", "--", "..", " ", " ", "  ", "n't", "'s", "can", "not", "1",
                                                    "A", "b", "é", "’", "”", "e.g.", "\t", "x", "3,5", "dr.", "No"]
    for _ in range(120):
        one, two = ("".join(draw.choice(signs) for _ in range(draw.randint(0, 14))) for _ in range(2))
        pairs.append((one, two))
    return [(a.replace("|", "/"), b.replace("|", "/")) for a, b in pairs + list(many_ways(draw))]


STEMS = """s ies ied sses us ss eed eedly ed edly ing ingly y ly tional enci anci abli entli izer ization ational ation ator
alism aliti alli fulness ousli ousness iveness iviti biliti bli ogi logi fulli lessli li alize icate iciti ical ful ness ative
al ance ence er ic able ible ant ement ment ent ism ate iti ous ive ize ion sion tion e le ll ' 's 's'""".split()
WHOLE = """skis skies dying lying tying idly gently ugly early only singly sky news howe atlas cosmos bias andes inning outing
canning herring earring proceed exceed succeed generate general communal communism arsenic arsenal youth boyish by say flies
dies cries hoping hopping bed sing shred naming at on ox 'tis y yy éy éies naïve résumés consolidating opacification""".split()


SYNSETS = """clear 11 12|plain 12|normal 13|regular 13 14|steady 14|film 15|picture 15 16|image 16|man 17|person 17|box 18
|case 18 19|church 20|chapel 20|mouse 21|rodent 21|study 19|examine 22|inspect 22|large 23|big 23|try 24|attempt 24|go 25
|leave 25|good 26|well 26 27|fine 27|fox 28|buzz 29|hum 29|wish 30|want 30|of_the_heart 31|cardiac 31""".replace("\n", "")
EXCEPTIONS = "mouse mice meese|go went gone|good better best|leave left"
PARAPHRASES = """no sign of=without|without=no sign of|the heart size=size of the heart|heart=cardiac silhouette
|cardiac silhouette=heart|left base=base on the left|is=seems|seems=is|is=appears to be|no=no sign of any|mice=rodents
|of the=of|large=enlarged|clear of=without any|the film=film|a b c d e f=a|the=the""".replace("\n", "")
INFLECTED = """clears cleared plainly regularly films pictures imaging men persons boxes cases churches chapels mice rodents
studies examined inspected larger largest tries tried trying attempts went gone leaves best better foxes buzzes hums wishes
wanted class pass as us heart size without sign no of the is seems appears to be base left on enlarged any a b c d e f
silhouette cardiac rodents , .""".split()


def tables(folder):
    """Synonyms and paraphrases of this project's own, a jar of the former; texts that they match, scored with them."""
    folder.mkdir(exist_ok=True)
    pair = lambda x, sign: tuple(x.split(sign, 1))
    synsets = "".join("%s\n%s\n" % pair(x, " ") for x in SYNSETS.split("|"))
    exceptions = "".join("%s\n%s\n" % pair(x, " ") for x in EXCEPTIONS.split("|"))
    paraphrases = "".join("0.%d\n%s\n%s\n" % ((i,) + pair(x, "=")) for i, x in enumerate(PARAPHRASES.split("|"), 1))
    with zipfile.ZipFile(folder / "tables.jar", "w", zipfile.ZIP_DEFLATED) as jar:
        for name, text in (("synsets", synsets), ("exceptions", exceptions)):
            jar.writestr(zipfile.ZipInfo("synonym/english." + name), text)
    (folder / "paraphrases.gz").write_bytes(gzip.compress(paraphrases.encode(), mtime=0))
    draw = random.Random(12)
    forms = [x.split()[0] for x in SYNSETS.split("|") if "_" not in x] + INFLECTED
    phrases = [y for x in PARAPHRASES.split("|") for y in x.split("=")]
    text = lambda: " ".join(draw.choice(forms if draw.random() < .6 else phrases) for _ in range(draw.randint(1, 25)))
    pairs = [(text(), text()) for _ in range(150)]
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        for name, content in (("synsets", synsets), ("exceptions", exceptions), ("relations", "")):
            (work / ("english." + name)).write_text(content)
        columns = []
        for stages in ("exact stem synonym", "exact stem paraphrase", "exact stem synonym paraphrase"):
            # The jar gives weights by place; a stage that is left out must not change the others' (exact 1, stem 0.6, ...).
            weights = " ".join({"exact": "1", "synonym": "0.8"}.get(x, "0.6") for x in stages.split())
            options = ["-w", weights, "-d", str(work), "-a", str((folder / "paraphrases.gz").resolve())]
            each, corpus = Meteor(stages, options).scores(*zip(*pairs))
            columns.append(each + [corpus])
    with open(folder / "scores.csv", "w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(["text", "reference", "synonym", "paraphrase", "both"])
        for i, row in enumerate(pairs + [("corpus", "")]):
            out.writerow(list(row) + ["%.17g" % c[i] for c in columns])


def stems():
    draw = random.Random(3)
    words = set(WHOLE) | set(re.findall("[a-z]+", " ".join(SENTENCES).lower()))
    for ending in STEMS:
        for _ in range(12):
            start = "".join(draw.choice("aeiouybcdgstlnrpwx'") for _ in range(draw.randint(0, 6)))
            words.add(start + ending + (draw.choice(STEMS) if draw.random() < .2 else ""))
    words = sorted(w for w in words if not w.isdigit())
    answer = subprocess.run(["java", "-Dfile.encoding=UTF-8", "-cp", str(METEOR), "Stemmer", "en"], check=True,
                            input="\n".join(words).encode(), stdout=subprocess.PIPE).stdout.decode()
    return "".join(f"{w} {stem}\n" for w, stem in zip(words, answer.split("\n")))


def reports(path):
    out = []
    with tarfile.open(path) as archive:
        for member in sorted(archive.getmembers(), key=lambda m: m.name):
            if not member.name.endswith(".xml"):
                continue
            tree = xml.etree.ElementTree.parse(archive.extractfile(member))
            found = [x.text for x in tree.iter("AbstractText") if x.get("Label") == "FINDINGS" and x.text]
            out += [x.replace("|", "/") for x in found]
    return out


def real(path, count):
    draw = random.Random(8)
    texts = reports(path)
    draw.shuffle(texts)
    for text, other in list(zip(texts, texts[1:]))[:count]:
        yield other, text
        pieces = re.split(r"(?<=[.!?]) ", text)
        draw.shuffle(pieces)
        yield " ".join(pieces[:draw.randint(1, len(pieces))] + re.split(r"(?<=[.!?]) ", other)[:2]), text


def main():
    if len(sys.argv) == 1:
        golden = ROOT / "tests" / "golden"
        write(golden / "text_metrics.csv", PunktSentenceTokenizer(built_in()), synthetic())
        tables(golden / "meteor")
        (golden / "stems.txt").write_text(stems(), encoding="utf-8")
        return
    parameters = table(sys.argv[3]) if len(sys.argv) > 3 and sys.argv[3] else built_in()
    count = int(sys.argv[4]) if len(sys.argv) > 4 else 500
    write(sys.argv[1], PunktSentenceTokenizer(parameters), list(real(sys.argv[2], count)))


if __name__ == "__main__":
    main()
