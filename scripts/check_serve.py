#!/usr/bin/env python3
"""Drives `radialog serve` as its users do: a page in headless Chromium, many clients at once, requests that are wrong.

    scripts/check_serve.py --image FILE.jpg [--seconds 60] [--clients 200] [--browser chromium] -- RUN [options of serve]

After scripts/demo.sh, for example:

    demo=runs/demo
    scripts/check_serve.py --image "$(find $demo/data -name '*.jpg' | head -1)" -- $demo/lora \\
        --aligner $demo/aligner --classifier $demo/classifier --set model.base=$demo/lm/checkpoints/best \\
        --set instruct.prompts=configs/demo/prompts.json

Needs Chromium (Debian: chromium) and nothing else; --browser "" leaves the page out. Exit status 1 where something is
not as it must be.
"""
import argparse
import base64
import fcntl
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = os.path.join(ROOT, "build/cpu-release/radialog")
CHAT = "/v1/chat/completions"
failures = []


def check(good, what):
    print("%-6s %s" % ("ok" if good else "FAILED", what), flush=True)
    if not good:
        failures.append(what)


class Server:
    """A server of our own on a free port."""

    def __init__(self, words):
        self.process = subprocess.Popen([PROGRAM, "serve", *words, "--port", "0", "--quiet"], stdout=subprocess.PIPE,
                                        text=True, cwd=ROOT)
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            sys.exit("check_serve: the server did not start")
        self.port = int(self.url.rsplit(":", 1)[1])

    def status(self, key):
        with open("/proc/%d/status" % self.process.pid, encoding="ascii") as file:
            return int(re.search(r"^%s:\s*(\d+)" % key, file.read(), re.M).group(1))

    def listeners(self):
        """The addresses that the process listens on."""
        sockets = set()
        folder = "/proc/%d/fd" % self.process.pid
        for name in os.listdir(folder):
            match = re.match(r"socket:\[(\d+)\]", os.readlink(os.path.join(folder, name)))
            if match:
                sockets.add(match.group(1))
        found = []
        for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
            with open("/proc/net/" + table, encoding="ascii") as file:
                rows = [line.split() for line in file][1:]
            for row in rows:
                if row[3] == "0A" and row[9] in sockets:
                    words = bytes.fromhex(row[1].split(":")[0])
                    turned = b"".join(words[i:i + 4][::-1] for i in range(0, len(words), 4))
                    found.append(socket.inet_ntop(family, turned))
        return found

    def ask(self, body, method="POST", path=CHAT, kind="application/json", timeout=120):
        """(status, text) of one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": kind} if data is not None else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()


def out_of_the_way(descriptor):
    """The same under a number that the browser's 3 and 4 do not take."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


class Browser:
    """Chromium over its debugging pipe: NUL-ended JSON on descriptors 3 and 4."""

    def __init__(self, program):
        self.profile = tempfile.mkdtemp(prefix="check-serve-")
        to_child, self.out, self.inp, from_child = map(out_of_the_way, os.pipe() + os.pipe())

        def keep():
            os.dup2(to_child, 3)
            os.dup2(from_child, 4)

        command = [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                   "--no-first-run", "--remote-debugging-pipe", "--user-data-dir=" + self.profile, "about:blank"]
        self.process = subprocess.Popen(command, preexec_fn=keep, close_fds=False, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        os.close(to_child)
        os.close(from_child)
        self.number, self.rest, self.events = 0, b"", []
        target = self.call("Target.getTargets")["targetInfos"]
        page = next(t["targetId"] for t in target if t["type"] == "page")
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "DOM"):
            self.call(domain + ".enable")

    def message(self):
        while b"\0" not in self.rest:
            more = os.read(self.inp, 1 << 16)
            if not more:
                sys.exit("check_serve: the browser has ended")
            self.rest += more
        one, self.rest = self.rest.split(b"\0", 1)
        return json.loads(one)

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        os.write(self.out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self.message()
            if answer.get("id") == self.number:
                if "error" in answer:
                    sys.exit("check_serve: %s: %s" % (method, answer["error"]))
                return answer["result"]
            self.events.append(answer)

    def run(self, code):
        result = self.call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            sys.exit("check_serve: %s" % result["exceptionDetails"])
        return result["result"].get("value")

    def until(self, code, seconds=60):
        end = time.time() + seconds
        while time.time() < end:
            if self.run(code):
                return True
            time.sleep(0.02)
        return False

    def type(self, selector, text):
        self.run("document.querySelector(%s).focus()" % json.dumps(selector))
        self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13,
                      **({"text": "\r"} if kind == "keyDown" else {}))

    def close(self):
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)


# What the log shows, whenever it changes.
WATCH = """window.seen = [];
new MutationObserver(() => { const all = document.querySelectorAll(".assistant");
  if (all.length) seen.push(all[all.length - 1].textContent); })
  .observe(document.querySelector("#talk"), { childList: true, subtree: true, characterData: true });"""
TURNS = "[...document.querySelectorAll('.turn')].map(t => [t.className, t.textContent])"
HIDDEN = "getComputedStyle(document.querySelector('#image')).display == 'none'"
DONE = "!document.querySelector('.writing') && document.querySelectorAll('.assistant').length == %d"


def pieces(browser):
    """The different states that the latest answer was seen in."""
    return len(set(browser.run("seen"))) if browser.run("seen.length") else 0


def check_page(server, program, image):
    browser = Browser(program)
    browser.call("Page.navigate", url=server.url)
    check(browser.until("document.readyState == 'complete' && !!document.querySelector('#model').textContent"),
          "the page is there and names the model")
    check(browser.run(HIDDEN), "no picture stands there before one is chosen")
    browser.run(WATCH)
    root = browser.call("DOM.getDocument")["root"]["nodeId"]
    field = browser.call("DOM.querySelector", nodeId=root, selector="#file")["nodeId"]
    browser.call("DOM.setFileInputFiles", nodeId=field, files=[os.path.abspath(image)])
    check(browser.until(DONE % 1), "a radiograph is uploaded and its report written")
    check(browser.run("document.querySelector('#image').naturalWidth > 0"), "the radiograph is shown")
    chips = browser.run("[...document.querySelectorAll('#findings li')].map(c => c.textContent)")
    check(bool(chips), "findings are shown: %s" % ", ".join(chips))
    turns = browser.run(TURNS)
    check(turns and turns[0][1].strip() and "error" not in turns[0][0], "report: %.80s" % (turns and turns[0][1]))
    check(pieces(browser) > 3, "it streams in, %d pieces" % pieces(browser))
    browser.run("seen.length = 0")
    browser.type("#question", "Is there a pleural effusion?")
    check(browser.until(DONE % 2), "a follow-up question is answered")
    turns = browser.run(TURNS)
    check(len(turns) == 3 and "user" in turns[1][0] and turns[2][1].strip() and "error" not in turns[2][0],
          "answer: %.80s" % (turns[-1][1]))
    check(pieces(browser) > 1, "it streams in, %d pieces" % pieces(browser))
    wrong = [e for e in browser.events if e.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded")
             and "favicon" not in json.dumps(e)]
    check(not wrong, "the page has no errors %s" % (wrong or ""))
    urls = [e["params"]["request"]["url"] for e in browser.events if e.get("method") == "Network.requestWillBeSent"]
    check(all(u.startswith((server.url, "data:", "blob:", "about:")) for u in urls), "it asks nobody else")
    browser.close()


def image_message(image):
    with open(image, "rb") as file:
        text = base64.b64encode(file.read()).decode()
    return {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/jpeg;base64," + text}}]}


def check_errors(server):
    user = {"role": "user", "content": "hello"}
    for status, kind, body in (
            (400, "application/json", b""), (400, "application/json", b"{"), (400, "application/json", b"[]"),
            (400, "application/json", b"\xff\xfe"), (400, "application/json", b"[" * 100000),
            (400, "application/json", {}), (400, "application/json", {"messages": []}),
            (400, "application/json", {"messages": [{"role": "assistant", "content": "x"}]}),
            (400, "application/json", {"messages": [user, user]}),
            (400, "application/json", {"messages": [user], "max_tokens": 0}),
            (400, "application/json", {"messages": [user], "temperature": "warm"}),
            (400, "application/json", {"messages": [user], "tools": [{}]}),
            (400, "application/json", {"messages": [{"role": "user", "content": "long " * 20000}]}),
            (400, "application/json", {"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "https://example.org/x.png"}}]}]}),
            (400, "application/json", {"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}]}]}),
            (404, "application/json", {"messages": [user], "model": "another"}),
            (415, "text/plain", {"messages": [user]}),
            (413, "application/json", b" " * (33 << 20))):
        got, text = server.ask(body, kind=kind)
        try:
            message = json.loads(text)["error"]["message"]
        except (ValueError, KeyError):
            message = None
        check(got == status and message, "%d: %s" % (got, message))
    for method, path, status in (("GET", "/nowhere", 404), ("GET", CHAT, 405), ("POST", "/health", 405)):
        got, text = server.ask(None, method, path)
        check(got == status and "error" in text, "%s %s: %d" % (method, path, got))


def client(server, number, questions, end, counts):
    """Questions one after the other, on one connection, until END."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=180)
    turn = number
    while time.time() < end:
        question = questions[turn % len(questions)]
        turn += 1
        try:
            connection.request("POST", CHAT, question["body"], {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
            good = answer.status == question["status"] and question["ends"] in text[-200:]
            counts["good" if good else "bad"] += 1
            if not good:
                counts["first"] = counts.get("first") or "%d %.200s" % (answer.status, text)
        except OSError as error:
            counts["bad"] += 1
            counts["first"] = counts.get("first") or repr(error)
            connection.close()
    connection.close()


def check_load(server, image, clients, seconds):
    seen = image_message(image)
    questions = []
    for stream in (True, False):
        for messages in ([seen], [seen, {"role": "assistant", "content": "The heart is normal."},
                                  {"role": "user", "content": "Is there an effusion?"}],
                         [{"role": "user", "content": "What is a pneumothorax?"}]):
            questions.append({"body": json.dumps({"messages": messages, "stream": stream, "max_tokens": 40}).encode(),
                              "status": 200, "ends": "[DONE]" if stream else "}"})
    questions.append({"body": b"{\"messages\": 1}", "status": 400, "ends": "}"})
    counts = [{"good": 0, "bad": 0} for _ in range(clients)]
    end = time.time() + seconds
    threads = [threading.Thread(target=client, args=(server, i, questions, end, counts[i])) for i in range(clients)]
    for thread in threads:
        thread.start()
    time.sleep(seconds / 3)
    early = server.status("VmRSS")
    for thread in threads:
        thread.join()
    late = server.status("VmRSS")
    good, bad = (sum(c[k] for c in counts) for k in ("good", "bad"))
    first = next((c["first"] for c in counts if c.get("first")), "")
    check(not bad and good > clients, "%d clients for %d s: %d answers, %d failures %s" % (clients, seconds, good, bad, first))
    check(all(c["good"] for c in counts), "every client was answered")
    check(late < 1.03 * early + 4096, "memory: %d MB after a third of the time, %d MB in the end" % (early >> 10, late >> 10))


def check_end(server, image):
    """A request that is on its way is answered; then the program ends."""
    result = {}

    def last():
        result["answer"] = server.ask({"messages": [image_message(image)], "stream": True})

    thread = threading.Thread(target=last)
    thread.start()
    while not json.loads(server.ask(None, "GET", "/health")[1])["writing"] and thread.is_alive():
        pass
    server.process.send_signal(signal.SIGTERM)
    thread.join()
    check(result["answer"][0] == 200 and "[DONE]" in result["answer"][1], "a signal lets an answer be finished")
    check(server.process.wait(30) == 143, "and ends the program (%s)" % server.process.returncode)
    try:
        server.ask(None, "GET", "/health", timeout=5)
        check(False, "nobody listens any more")
    except OSError:
        check(True, "nobody listens any more")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", required=True)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--browser", default="chromium")
    parser.add_argument("words", nargs="+")
    args = parser.parse_args()
    server = Server(args.words)
    try:
        if args.browser:
            check_page(server, args.browser, args.image)
        check_errors(server)
        check(server.listeners() == ["127.0.0.1"], "it listens on %s" % server.listeners())
        check_load(server, args.image, args.clients, args.seconds)
        check(server.listeners() == ["127.0.0.1"], "it still listens on %s" % server.listeners())
        check_end(server, args.image)
    finally:
        server.process.kill()
        server.process.wait()
    print("%d failures" % len(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
