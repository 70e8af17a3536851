// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/version_order.h"

#include <cstdint>

namespace depgraph {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Rank of the next character in a run of non-digits; a digit or the end ends the run and ranks above "~" only.
int rank(const char* at, const char* end) {
  if (at == end || is_digit(*at)) return 0;
  if (*at == '~') return -1;
  bool letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z');
  return static_cast<unsigned char>(*at) + (letter ? 0 : 256);
}

// One part, upstream version or revision. Both run from left to right once; digits are compared by length first.
int part_order(std::string_view left, std::string_view right) {
  const char *a = left.data(), *a_end = a + left.size(), *b = right.data(), *b_end = b + right.size();
  while (a != a_end || b != b_end) {
    while ((a != a_end && !is_digit(*a)) || (b != b_end && !is_digit(*b))) {
      if (int order = rank(a, a_end) - rank(b, b_end); order != 0) return order;
      a++, b++;  // equal ranks that are not 0: both have a character here
    }
    while (a != a_end && *a == '0') a++;
    while (b != b_end && *b == '0') b++;
    int first_difference = 0;
    for (; a != a_end && is_digit(*a) && b != b_end && is_digit(*b); a++, b++) {
      if (first_difference == 0) first_difference = *a - *b;
    }
    if (a != a_end && is_digit(*a)) return 1;
    if (b != b_end && is_digit(*b)) return -1;
    if (first_difference != 0) return first_difference;
  }
  return 0;
}

struct parts {
  std::uint64_t epoch = 0;
  std::string_view upstream, revision;
};

parts split(std::string_view version) {
  parts out;
  if (std::size_t colon = version.find(':'); colon != version.npos) {
    for (char c : version.substr(0, colon)) out.epoch = out.epoch * 10 + static_cast<std::uint64_t>(c - '0');
    version.remove_prefix(colon + 1);
  }
  std::size_t hyphen = version.rfind('-');
  out.upstream = version.substr(0, hyphen);
  if (hyphen != version.npos) out.revision = version.substr(hyphen + 1);
  return out;
}

}  // namespace

std::strong_ordering version_order(std::string_view a, std::string_view b) {
  if (a == b) return std::strong_ordering::equal;
  parts left = split(a), right = split(b);
  if (left.epoch != right.epoch) return left.epoch <=> right.epoch;
  int order = part_order(left.upstream, right.upstream);
  if (order == 0) order = part_order(left.revision, right.revision);
  return order <=> 0;
}

bool satisfies(std::string_view version, relation how, std::string_view wanted) {
  if (how == relation::any) return true;
  std::strong_ordering order = version_order(version, wanted);
  switch (how) {
    case relation::earlier:
      return order < 0;
    case relation::earlier_equal:
      return order <= 0;
    case relation::equal:
      return order == 0;
    case relation::later_equal:
      return order >= 0;
    default:
      return order > 0;
  }
}

}  // namespace depgraph
