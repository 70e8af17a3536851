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
// The fields of an aggregate, case by case for up to {MOST} of them: C++20 can neither expand a pack of `{{}}` nor bind a
// number of names that is not written down. Written by gen_layout_fields.py beside it: do not edit.
#pragma once

namespace cairn::detail {{

inline constexpr int k_most_fields = {MOST};

template <class... F>
struct type_list {{}};

// Brace elements of T (bases and members; an array is one): the most `{{}}` that it can be made from. -1: it cannot be
// made from `{{}}` at all. More than k_most_fields: too many.
template <class T>
consteval int count_fields() {{
  int n = -1;
  if constexpr (requires {{ T{{}}; }}) n = 0;
"""


def wrap(text, indent):
    return textwrap.fill(text, 108, initial_indent=indent, subsequent_indent=indent, break_long_words=False)


def names(n):
    return ["f%d" % k for k in range(1, n + 1)]


def main():
    out = [HEAD.rstrip("\n"), "  // clang-format off"]
    for i in range(1, MOST + 2):
        out.append("  if constexpr (requires { T{%s}; }) n = %d;" % (",".join(["{}"] * i), i))
    out += ["  // clang-format on", "  return n;", "}", "",
            "// Brace element i of T can be made from a Probe, those before it from `{}`.",
            "template <class T, class Probe, int i>", "consteval bool element_takes() {", "  // clang-format off"]
    for i in range(MOST):
        out.append("  %sif constexpr (i == %d) return requires(Probe p) { T{%sp}; };"
                   % ("else " if i else "", i, "{}," * i))
    out += ["  else return true;", "  // clang-format on", "}", "",
            "// The members of an aggregate without bases, with no unnamed union, that has n of them.",
            "// clang-format off",
            "template <int n, class T>", "constexpr auto field_types(T& object) {", "  if constexpr (n == 0) {",
            "    return type_list<>{};"]
    for i in range(1, MOST + 1):
        out += ["  } else if constexpr (n == %d) {" % i, wrap("auto& [%s] = object;" % ",".join(names(i)), "    "),
                wrap("return type_list<%s>{};" % ", ".join("decltype(%s)" % f for f in names(i)), "    ")]
    out += ["  }", "}", "",
            "// visitor(member) for those members whose type Wanted picks: a bit-field, which has no address, must not be.",
            "#define CAIRN_VISIT_(f) if constexpr (Wanted<decltype(f)>::value) visitor(f);",
            "template <int n, template <class> class Wanted, class T, class Visitor>",
            "constexpr void visit_fields(T& object, Visitor&& visitor) {", "  if constexpr (n == 0) {"]
    for i in range(1, MOST + 1):
        out += ["  } else if constexpr (n == %d) {" % i, wrap("auto& [%s] = object;" % ",".join(names(i)), "    "),
                wrap(" ".join("CAIRN_VISIT_(%s)" % f for f in names(i)), "    ")]
    out += ["  }", "}", "#undef CAIRN_VISIT_", "// clang-format on", "", "}  // namespace cairn::detail"]
    print("\n".join(out))


if __name__ == "__main__":
    main()
