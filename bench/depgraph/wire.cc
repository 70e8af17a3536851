// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/wire.h"

#include <cstdio>
#include <map>
#include <sstream>
#include <type_traits>

namespace depgraph {
namespace {

template <class Spread, class F>
void each_of_spread(const std::string& name, Spread& s, F f) {
  f(name + "_count", s.count);
  f(name + "_p50_us", s.p50_us);
  f(name + "_p99_us", s.p99_us);
  f(name + "_p99.9_us", s.p999_us);
  f(name + "_max_us", s.max_us);
}

// Calls f(name, field) with every figure; Measured may be const.
template <class Measured, class F>
void each_figure(Measured& m, F f) {
  f("build_s", m.build_s);
  f("timed_s", m.timed_s);
  f("replaced", m.replaced);
  for (std::size_t k = 0; k < k_query_kinds; k++)
    each_of_spread(std::string(k_query_names[k]), m.kinds[k], f);
  each_of_spread("queries", m.all, f);
  each_of_spread("waited", m.waited, f);
  each_of_spread("gaps", m.gaps, f);
  each_of_spread("pauses", m.pauses, f);
  f("gc_cycles", m.cycles);
  f("gc_cpu_percent", m.gc_cpu_percent);
  f("live_bytes", m.live_bytes);
  f("goal_bytes", m.goal_bytes);
  f("peak_mapped_bytes", m.peak_mapped_bytes);
  f("limit_bytes", m.limit_bytes);
  f("base_rss_bytes", m.base_rss_bytes);
  f("peak_rss_bytes", m.peak_rss_bytes);
  f("checked_answers", m.checked);
  f("wrong_answers", m.wrong);
}

std::string number(double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.15g", value);
  return text;
}

}  // namespace

std::string to_lines(const measured& from) {
  std::string out;
  each_figure(from, [&](const std::string& name, auto value) {
    out += name + " " + number(static_cast<double>(value)) + "\n";
  });
  return out;
}

std::string to_json(const measured& from) {
  std::string out = "{\"setting\": \"" + from.how.title() + "\"";
  each_figure(from, [&](const std::string& name, auto value) {
    out += ", \"" + name + "\": " + number(static_cast<double>(value));
  });
  return out + "}";
}

bool from_lines(const std::string& lines, measured& into) {
  std::map<std::string, double> found;
  std::istringstream in(lines);
  std::string name;
  for (double value; in >> name >> value;) found[name] = value;
  bool whole = true;
  each_figure(into, [&](const std::string& wanted, auto& field) {
    auto at = found.find(wanted);
    whole = whole && at != found.end();
    if (at != found.end()) field = static_cast<std::remove_reference_t<decltype(field)>>(at->second);
  });
  return whole;
}

}  // namespace depgraph
