#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Cairn authors
"""Writes include/cairn/detail/layout_fields.h: the fields of an aggregate, case by case.

  include/cairn/detail/gen_layout_fields.py > include/cairn/detail/layout_fields.h
"""
import textwrap

MOST = 32

HEAD = f"""\
// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The fields of an aggregate, case by case for up to {MOST}: C++20 can neither expand a pack of `{{}}` nor bind a
// number of names that is not written down. Written by gen_layout_fields.py beside it: do not edit.
#pragma once

namespace cairn::detail {{

inline constexpr int k_most_fields = {MOST};

template <class... F>
struct type_list {{}};
"""

COUNT = """
// Brace elements of T (bases and members; an array is one): the most `{}` that T can be made from. -1: T cannot be made
// from `{}` at all. More than k_most_fields: too many. An element that `{}` does not initialise ends the count early,
// if it and those after it have initialisers of their own.
template <class T, int n = 0, bool found = false>
consteval int count_elements() {
  if constexpr (made_from<T, n>()) {
    if constexpr (n > k_most_fields) return n;
    else return count_elements<T, n + 1, true>();
  } else if constexpr (found) {
    return n - 1;
  } else if constexpr (n > k_most_fields) {
    return -1;
  } else {
    return count_elements<T, n + 1, false>();
  }
}

// Brace element i of T can be made from a Probe, those before it from `{}`.
template <class T, class Probe, int i>
consteval bool element_takes() {"""


def wrap(text, indent):
    return textwrap.fill(text, 108, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


def names(n):
    return ["f%d" % k for k in range(1, n + 1)]


def cases(result, count):
    return ["  %sif constexpr (%s == %d) return %s;" % ("else " if i else "", result[0], i, result[1](i))
            for i in range(count)]


def visit(name, macro):
    out = ["template <int n, template <class> class Wanted, class T, class Visitor>",
           "constexpr void %s(T& object, Visitor&& visitor) {" % name, "  if constexpr (n == 0) {"]
    for i in range(1, MOST + 1):
        out += ["  } else if constexpr (n == %d) {" % i, wrap("auto& [%s] = object;" % ",".join(names(i)), "    "),
                wrap(" ".join("%s(%s)" % (macro, f) for f in names(i)), "    ")]
    return out + ["  }", "}"]


def main():
    out = [HEAD, "// T can be made from n `{}`.",
           "template <class T, int n>", "consteval bool made_from() {", "  // clang-format off"]
    out += cases(("n", lambda i: "requires { T{%s}; }" % ",".join(["{}"] * i)), MOST + 2)
    out += ["  // clang-format on", "}", COUNT, "  // clang-format off"]
    out += cases(("i", lambda i: "requires(Probe& p) { T{%sp}; }" % ("{}," * i)), MOST + 1)
    out += ["  // clang-format on", "}", "",
            "// The members of an aggregate that has n of them, of bases that have none; no nameless union.",
            "// clang-format off",
            "template <int n, class T>", "constexpr auto field_types(T& object) {", "  if constexpr (n == 0) {",
            "    return type_list<>{};"]
    for i in range(1, MOST + 1):
        out += ["  } else if constexpr (n == %d) {" % i, wrap("auto& [%s] = object;" % ",".join(names(i)), "    "),
                wrap("return type_list<%s>{};" % ", ".join("decltype(%s)" % f for f in names(i)), "    ")]
    out += ["  }", "}", "",
            "// visitor(member) for those members whose type Wanted picks.",
            "#define CAIRN_VISIT_(f) if constexpr (Wanted<decltype(f)>::value) visitor(f);"]
    out += visit("visit_fields", "CAIRN_VISIT_")
    out += ["#undef CAIRN_VISIT_", "",
            "// visitor.operator()<its type>(its address) for those members. A bit-field, which has none, must not be",
            "// wanted. A packed member has one, but no reference to its type would bind to it.",
            "#define CAIRN_VISIT_(f) if constexpr (Wanted<decltype(f)>::value) \\",
            "  visitor.template operator()<decltype(f)>(&reinterpret_cast<const volatile char&>(f));"]
    out += visit("visit_places", "CAIRN_VISIT_")
    out += ["#undef CAIRN_VISIT_", "// clang-format on", "", "}  // namespace cairn::detail"]
    print("\n".join(out))


if __name__ == "__main__":
    main()
