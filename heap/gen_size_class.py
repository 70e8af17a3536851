#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The Cairn authors
"""Writes include/cairn/detail/size_class.h: the 67 size classes and the waste of each.

  heap/gen_size_class.py > include/cairn/detail/size_class.h     (./dev check compares the two)

The table is tcmalloc's as Go uses it. A step is at most an eighth of the size; a span has as few pages as lose at most
an eighth at its tail; a class that holds no more objects per span than the next larger one is merged into that; last,
each size grows to the largest multiple of 128 of which the span holds as many.
"""

PAGE = 8192
MAX_SMALL = 32768


def span_pages(size):
    pages = 1
    while pages * PAGE % size > pages * PAGE // 8:
        pages += 1
    return pages


def step(size, align):
    """The distance to the next size; it changes at powers of two only."""
    if size & (size - 1):
        return align
    if size >= 2048:
        return 256
    if size >= 128:
        return size // 8
    return 16 if size >= 32 else align


def make_classes():
    """[(object size, pages of a span)], smallest first."""
    classes, align, size = [], 8, 8
    while size <= MAX_SMALL:
        align = step(size, align)
        pages = span_pages(size)
        if classes and classes[-1][1] == pages and pages * PAGE // size == pages * PAGE // classes[-1][0]:
            classes.pop()
        classes.append((size, pages))
        size += align
    grown = []
    for size, pages in classes:
        span = pages * PAGE
        grown.append((max(size, span // (span // size) // 128 * 128), pages))
    return grown


def waste_lines(classes):
    """The comment: what is lost at a span's tail, and at worst when every object is as small as the class allows."""
    yield "// class  bytes  span KiB  objects  tail bytes  at worst wasted"
    previous = 0
    for i, (size, pages) in enumerate(classes, 1):
        span, n = pages * PAGE, pages * PAGE // size
        worst = 1 - n * (previous + 1) / span
        yield f"// {i:5} {size:6} {span // 1024:9} {n:8} {span - n * size:11} {worst * 100:14.2f} %"
        previous = size


def table(kind, name, values, per_line):
    yield f"inline constexpr {kind} {name}[] = {{"
    for i in range(0, len(values), per_line):
        yield "    " + ", ".join(str(v) for v in values[i:i + per_line]) + ","
    yield "};"


def main():
    classes = make_classes()
    assert len(classes) == 67 and classes[-1][0] == MAX_SMALL
    sizes, pages = [0] + [c[0] for c in classes], [0] + [c[1] for c in classes]
    # object index = offset * reciprocal >> 32, exact for every offset inside a span
    magic = [0] + [(1 << 32) // s + (1 if (1 << 32) % s else 0) for s in sizes[1:]]
    for s, p, m in zip(sizes[1:], pages[1:], magic[1:]):
        assert all(off * m >> 32 == off // s for off in range(p * PAGE))

    def class_of(size):
        return next(i for i, s in enumerate(sizes) if s >= size)

    by8 = [class_of(i * 8) for i in range(1024 // 8 + 1)]
    by128 = [class_of(1024 + i * 128) for i in range((MAX_SMALL - 1024) // 128 + 1)]
    out = [
        "// SPDX-License-Identifier: Apache-2.0",
        "// SPDX-FileCopyrightText: The Cairn authors",
        "//",
        "// The 67 size classes. Written by heap/gen_size_class.py: do not edit.",
        "//",
        *waste_lines(classes),
        "#pragma once",
        "#include <cstddef>",
        "#include <cstdint>",
        "",
        "namespace cairn::detail {",
        "",
        "inline constexpr std::size_t k_page_shift = 13;",
        "inline constexpr std::size_t k_page_bytes = std::size_t{1} << k_page_shift;",
        f"inline constexpr std::size_t k_max_small_bytes = {MAX_SMALL};",
        f"inline constexpr unsigned k_size_class_count = {len(sizes)};  // class 0 is that of large objects",
        "// A span class is a size class twice: even with pointers (scan), odd without (noscan).",
        "inline constexpr unsigned k_span_class_count = 2 * k_size_class_count;",
        "",
        "// clang-format off",
        *table("std::uint16_t", "k_class_bytes", sizes, 16),
        "// pages of one span",
        *table("std::uint8_t", "k_class_pages", pages, 32),
        "// ceil(2^32 / bytes): index of the object at an offset into a span = offset * reciprocal >> 32",
        *table("std::uint32_t", "k_class_reciprocal", magic, 8),
        "// class of ceil(bytes / 8) up to 1024 bytes, then of ceil((bytes - 1024) / 128)",
        *table("std::uint8_t", "k_class_by_8", by8, 32),
        *table("std::uint8_t", "k_class_by_128", by128, 32),
        "// clang-format on",
        "",
        "// The smallest class of objects of at least `bytes`, which is at most k_max_small_bytes.",
        "constexpr unsigned size_class_of(std::size_t bytes) noexcept {",
        "  return bytes <= 1024 ? k_class_by_8[(bytes + 7) / 8] : k_class_by_128[(bytes - 1024 + 127) / 128];",
        "}",
        "",
        "// The same for objects whose addresses are multiples of `align`: spans start at a page, so the class's size",
        "// must be one. 0 when no small class will do.",
        "constexpr unsigned size_class_of(std::size_t bytes, std::size_t align) noexcept {",
        "  if (bytes > k_max_small_bytes) return 0;",
        "  unsigned c = size_class_of(bytes == 0 ? 1 : bytes);",
        "  while (c < k_size_class_count && k_class_bytes[c] % align != 0) ++c;",
        "  return c < k_size_class_count ? c : 0;",
        "}",
        "",
        "constexpr unsigned span_class_of(unsigned size_class, bool noscan) noexcept {",
        "  return 2 * size_class + (noscan ? 1 : 0);",
        "}",
        "constexpr bool is_noscan_class(unsigned span_class) noexcept { return span_class & 1; }",
        "constexpr std::size_t class_objects(unsigned size_class) noexcept {",
        "  return k_class_pages[size_class] * k_page_bytes / k_class_bytes[size_class];",
        "}",
        "",
        "}  // namespace cairn::detail",
    ]
    print("\n".join(out))


if __name__ == "__main__":
    main()
