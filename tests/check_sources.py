#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Cairn authors
"""Checks the rules that no compiler knows; `./dev check` and the test sources.Rules run it.

  tests/check_sources.py               every file of the repository; prints path:line: message, exit status 1 if any
  tests/check_sources.py --self-test   that each rule finds what it forbids

Layers (docs/hacking.md): include -> include; heap -> heap, cairn/detail; sched -> sched, heap, include;
gc -> gc, sched, heap, include. The rest may include anything.
"""
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MAX_FILE_LINES = 1000
LONG_FILES = {"tests/include/layout_mask_test.cc"}  # a list of types, each a few lines: nothing to take apart
MAX_COLUMNS = 120  # clang-format breaks code at 110

# Folder -> what an #include "..." in it may start with.
LAYERS = {
    "include": ("cairn/",),
    "heap": ("heap/", "cairn/detail/", "cairn/version.h"),
    "sched": ("sched/", "heap/", "cairn/"),
    "gc": ("gc/", "sched/", "heap/", "cairn/"),
}
CODE = (".cc", ".h", ".S")
SPDX = ("SPDX-License-Identifier: Apache-2.0", "SPDX-FileCopyrightText: The Cairn authors")
OS_ONLY_IN = ("heap/os_linux.cc",)
OS_HEADER = re.compile(r"#\s*include\s*<sys/mman\.h>|\b(?:madvise|mprotect|munmap)\s*\(")
ATOMIC_CALL = re.compile(
    r"(?:\.|->)(load|store|exchange|fetch_add|fetch_sub|fetch_or|fetch_and|fetch_xor|"
    r"compare_exchange_weak|compare_exchange_strong|test_and_set|clear)\s*\(")
# Also a function of containers.
AMBIGUOUS = {"clear"}
EXAMPLES = "docs/examples/"
MAX_EXAMPLE_LINES = 119
UNFINISHED = re.compile(r"\b(?:TODO|FIXME|XXX)\b")


def layer_of(path):
    top = path.split("/", 1)[0]
    return top if top in LAYERS else None


def without_comments(text):
    """The text with comments and string literals blanked, line numbers kept."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def call_arguments(code, open_paren):
    depth = 0
    for i in range(open_paren, len(code)):
        depth += {"(": 1, ")": -1}.get(code[i], 0)
        if depth == 0:
            return code[open_paren + 1:i]
    return code[open_paren + 1:]


def check_layers(path, text):
    layer = layer_of(path)
    if layer is None:
        return
    for number, line in enumerate(text.splitlines(), 1):
        quoted = re.match(r'\s*#\s*include\s*"([^"]+)"', line)
        if quoted and not quoted.group(1).startswith(LAYERS[layer]):
            yield number, f'layer {layer} must not include "{quoted.group(1)}"'
        if re.match(r"\s*#\s*include\s*<(cairn|heap|sched|gc)/", line):
            yield number, 'the library includes its own headers with "", not <>'


def check_head(path, text):
    lines = text.splitlines()
    while lines and (lines[0].startswith("#!") or lines[0].startswith("# -*-")):
        lines.pop(0)
    if len(lines) < 2 or not lines[0].endswith(SPDX[0]) or not lines[1].endswith(SPDX[1]):
        yield 1, f"must begin with the two lines: {SPDX[0]} / {SPDX[1]}"
    elif layer_of(path) and path.endswith(CODE) and (len(lines) < 4 or not lines[3].startswith("// ")):
        noun = os.path.splitext(os.path.basename(path))[0]
        first = re.search(r'#\s*include\s*"([^"]+)"', text)
        if path.endswith(".h") or not first or os.path.basename(first.group(1)) != noun + ".h":
            yield 3, "needs a head comment: role, algorithm, invariants (a .cc may leave it to its header)"
    if path.endswith(".h") and "\n#pragma once\n" not in text:
        yield 1, "needs #pragma once"


def check_orders(path, text):
    # The pointer classes of the public headers have functions of these names themselves.
    if layer_of(path) is None or re.match(r"include/cairn/[^/]*$", path):
        return
    code = without_comments(text)
    for match in ATOMIC_CALL.finditer(code):
        arguments = call_arguments(code, match.end() - 1)
        if match.group(1) in AMBIGUOUS or re.search(r"memory_order|\border\b|success|failure", arguments):
            continue
        yield code.count("\n", 0, match.start()) + 1, f"atomic {match.group(1)} without an explicit memory order"


def check_system(path, text):
    if layer_of(path) is None:
        return
    code = without_comments(text)
    for number, line in enumerate(code.splitlines(), 1):
        if path not in OS_ONLY_IN and OS_HEADER.search(line):
            yield number, f"memory of the operating system is reached only through heap/os.h ({OS_ONLY_IN[0]})"
        if "system_clock" in line:
            yield number, "steady_clock only: a step of the system clock must not break a wait"


def check_size(path, text):
    count = text.count("\n")
    if path.endswith(CODE) and path not in LONG_FILES and count > MAX_FILE_LINES:
        yield count, f"{count} lines, more than {MAX_FILE_LINES}"


def check_columns(path, text):
    if not path.endswith(CODE + (".py",)) or ": do not edit." in text[:400]:
        return
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > MAX_COLUMNS:
            yield number, f"{len(line)} columns, more than {MAX_COLUMNS}"


def check_unfinished(path, text):
    if not path.endswith(CODE):
        return
    for number, line in enumerate(text.splitlines(), 1):
        if UNFINISHED.search(line):
            yield number, "unfinished work is an issue, not a comment"


def check_example(path, text):
    """What a newcomer copies is short, says what it shows, and uses what is public."""
    if not path.startswith(EXAMPLES) or not path.endswith(CODE):
        return
    count = text.count("\n")
    if count > MAX_EXAMPLE_LINES:
        yield count, f"{count} lines, more than the {MAX_EXAMPLE_LINES} of an example"
    if not re.search(r"^// Shows: ", text, flags=re.M):
        yield 3, "the head comment of an example says what it is about, and after `Shows: ` which parts of the library"
    for number, line in enumerate(text.splitlines(), 1):
        if re.match(r"\s*#\s*include\s*(?!<cairn/cairn\.h>)(?:<(?:cairn|heap|sched|gc)/|\")", line) or \
           re.search(r"\bdetail::", line):
            yield number, "an example includes <cairn/cairn.h>, and uses nothing of the inside"


def check_example_table(paths, table):
    """Each example has a line in the table of README.md and says in a file beside it what it prints."""
    for path in sorted(paths):
        stem, extension = os.path.splitext(path[len(EXAMPLES):])
        if not path.startswith(EXAMPLES) or extension not in (".cc", ".out"):
            continue
        if stem + ".cc" not in table:
            yield path, f"has no line in {EXAMPLES}README.md"
        if EXAMPLES + stem + (".out" if extension == ".cc" else ".cc") not in paths:
            yield path, "an example is a program NAME.cc and what it prints, NAME.out"


RULES = (check_layers, check_head, check_orders, check_system, check_size, check_columns, check_unfinished,
         check_example)


def environment_names(options_text):
    """What gc/options.cc reads: CAIRN* variables, and the names of CAIRNDEBUG in its table."""
    code = re.sub(r"//[^\n]*", "", options_text)
    variables = set(re.findall(r'"(CAIRN[A-Z]+)', code))
    settings = set(re.findall(r'\{\s*"([a-z][a-z0-9]*)"\s*,', code))
    return variables, settings


def check_environment(options_text, docs_text):
    variables, settings = environment_names(options_text)
    for name in sorted(variables):
        if not re.search(rf"\b{name}\b", docs_text):
            yield f"{name} is read by gc/options.cc but is not in docs/environment.md"
    for name in sorted(settings):
        if not re.search(rf"`{name}(?:=[^`]*)?`", docs_text):
            yield f"CAIRNDEBUG={name} is read by gc/options.cc but `{name}=...` is not in docs/environment.md"
    for name in sorted(set(re.findall(r"\bCAIRN[A-Z]+\b", docs_text)) - variables):
        yield f"{name} is in docs/environment.md but gc/options.cc does not read it"


def check_links(path, text, exists):
    """Links of a Markdown file to files of the repository."""
    for number, line in enumerate(text.splitlines(), 1):
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", line):
            if "://" not in target and not exists(os.path.normpath(os.path.join(os.path.dirname(path), target))):
                yield number, f"link to {target}, which is not there"


def all_files():
    try:
        listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                                capture_output=True, text=True, check=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):  # not a clone: whatever lies here
        listed = []
        for folder, folders, names in os.walk(ROOT):
            folders[:] = [f for f in folders if f not in ("build", ".git", "__pycache__")]
            listed += [os.path.relpath(os.path.join(folder, name), ROOT) for name in names]
    return sorted(path for path in set(listed) if os.path.isfile(os.path.join(ROOT, path)))


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def has_rules(path, text):
    return path.endswith(CODE + (".py", ".go")) or path == "CMakeLists.txt" or text.startswith("#!")


def check_all():
    count = 0
    paths = all_files()
    for path in paths:
        text = read(path)
        found = []
        if path.endswith(".md"):
            found += check_links(path, text, lambda target: os.path.exists(os.path.join(ROOT, target)))
        if has_rules(path, text):
            found += [one for rule in RULES for one in rule(path, text)]
        for number, message in found:
            print(f"{path}:{number}: {message}")
        count += len(found)
    if EXAMPLES + "README.md" in paths:
        for path, message in check_example_table(paths, read(EXAMPLES + "README.md")):
            print(f"{path}:1: {message}")
            count += 1
    if os.path.exists(os.path.join(ROOT, "gc/options.cc")):
        docs = "docs/environment.md"
        for message in check_environment(read("gc/options.cc"), read(docs) if os.path.exists(f"{ROOT}/{docs}") else ""):
            print(f"{docs}:1: {message}")
            count += 1
    return count


def self_test():
    head = f"// {SPDX[0]}\n// {SPDX[1]}\n//\n// Role.\n"
    bad = [
        (check_layers, "heap/a.cc", '#include "sched/m.h"\n'),
        (check_layers, "heap/a.cc", '#include "cairn/gc_ptr.h"\n'),
        (check_layers, "sched/a.cc", '#include "gc/cycle.h"\n'),
        (check_layers, "include/cairn/a.h", '#include "heap/mspan.h"\n'),
        (check_layers, "gc/a.cc", "#include <cairn/cairn.h>\n"),
        (check_head, "heap/a.cc", "int x;\n"),
        (check_head, "heap/a.cc", head.replace("// Role.\n", "int x;\n")),
        (check_head, "heap/a.h", head),
        (check_head, "heap/a.h", f'// {SPDX[0]}\n// {SPDX[1]}\n#pragma once\n#include "heap/a.h"\n'),
        (check_orders, "gc/a.cc", "x.store(1);\n"),
        (check_orders, "gc/a.cc", "return flag_->load();  // std::memory_order_acquire\n"),
        (check_orders, "gc/a.cc", "x.fetch_add(f(1,\n 2));\n"),
        (check_system, "gc/a.cc", "#include <sys/mman.h>\n"),
        (check_system, "heap/scavenge.cc", "::madvise(p, n, 4);\n"),
        (check_system, "sched/a.cc", "std::chrono::system_clock::now();\n"),
        (check_size, "gc/a.cc", "\n" * (MAX_FILE_LINES + 1)),
        (check_columns, "gc/a.cc", "x" * (MAX_COLUMNS + 1)),
        (check_unfinished, "gc/a.cc", "// TODO later\n"),
        (check_example, "docs/examples/a.cc", "// Shows: chan.\n" + "\n" * MAX_EXAMPLE_LINES),
        (check_example, "docs/examples/a.cc", "int main() {}\n"),
        (check_example, "docs/examples/a.cc", "// Shows: chan.\n#include <cairn/detail/entry.h>\n"),
        (check_example, "docs/examples/a.cc", '// Shows: chan.\n#include "sched/m.h"\n'),
        (check_example, "docs/examples/a.cc", "// Shows: chan.\ncairn::detail::keep(p);\n"),
    ]
    good = [
        (check_layers, "gc/a.cc", '#include "sched/m.h"\n#include "cairn/gc.h"\n#include <vector>\n'),
        (check_layers, "tests/gc/a.cc", '#include <cairn/cairn.h>\n'),
        (check_head, "heap/a.h", head + "#pragma once\n"),
        (check_head, "heap/a.cc", f'// {SPDX[0]}\n// {SPDX[1]}\n#include "heap/a.h"\n'),
        (check_head, "dev", f"#!/usr/bin/env bash\n# {SPDX[0]}\n# {SPDX[1]}\n"),
        (check_orders, "gc/a.cc", "x.store(1, std::memory_order_release);  v.clear();\n"),
        (check_system, "heap/os_linux.cc", "#include <sys/mman.h>\n"),
        (check_columns, "gc/a.cc", "é" * MAX_COLUMNS),
        (check_unfinished, "gc/a.cc", "// does what it says\n"),
        (check_example, "docs/examples/a.cc", "// Shows: chan.\n#include <cairn/cairn.h>\n#include <mutex>\n"),
    ]
    wrong = [f"{rule.__name__} missed {text!r} in {path}" for rule, path, text in bad if not list(rule(path, text))]
    wrong += [f"{rule.__name__} refused {text!r} in {path}" for rule, path, text in good if list(rule(path, text))]
    options = 'getenv("CAIRNGC"); {"gctrace", 1},'
    documents = {"`CAIRNGC` `gctrace=1`": 0, "CAIRNGC": 1, "`gctrace=1`": 1, "CAIRNGC `gctrace` CAIRNX": 1}
    for docs, expected in documents.items():
        if len(list(check_environment(options, docs))) != expected:
            wrong.append(f"check_environment: {docs!r} should give {expected} messages")
    links = "[a](there.md) [b](http://x/y) [c](#d)\n[e](gone.md#f)"
    if [n for n, _ in check_links("docs/a.md", links, lambda target: target == "docs/there.md")] != [2]:
        wrong.append("check_links: should find line 2 only")
    examples = {"docs/examples/" + name for name in ("a.cc", "a.out", "b.cc", "c.out", "d.cc", "d.out", "README.md")}
    found = [path for path, _ in check_example_table(examples, "[a](a.cc) [b](b.cc) [c](c.cc)")]
    if found != ["docs/examples/" + name for name in ("b.cc", "c.out", "d.cc", "d.out")]:
        wrong.append(f"check_example_table: found {found}")
    print("\n".join(wrong) or f"{len(bad) + len(good) + len(documents) + 2} cases as expected")
    return len(wrong)


if __name__ == "__main__":
    sys.exit(1 if (self_test() if "--self-test" in sys.argv[1:] else check_all()) else 0)
