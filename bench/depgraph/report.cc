// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
#include "bench/depgraph/report.h"

#include <cstdarg>
#include <cstdio>

#include "bench/depgraph/wire.h"

namespace depgraph {
namespace {

[[gnu::format(printf, 1, 2)]] std::string format(const char* pattern, ...) {
  char text[400];
  std::va_list arguments;
  va_start(arguments, pattern);
  std::vsnprintf(text, sizeof text, pattern, arguments);
  va_end(arguments);
  return text;
}

// Three digits or so, in the unit that suits.
std::string duration(double us) {
  if (us >= 999500) return format("%.2f s", us / 1e6);
  if (us >= 99950) return format("%.0f ms", us / 1e3);
  if (us >= 9995) return format("%.1f ms", us / 1e3);
  if (us >= 999.5) return format("%.2f ms", us / 1e3);
  if (us >= 9.995) return format("%.0f us", us);
  return format("%.1f us", us);
}

std::string mib(double bytes) { return format("%.0f", bytes / (1 << 20)); }

std::string latency_line(const char* name, const spread& s) {
  return format("  %-9s %9llu   p50 %8s   p99 %8s   p99.9 %8s   max %8s\n", name,
                static_cast<unsigned long long>(s.count), duration(s.p50_us).c_str(),
                duration(s.p99_us).c_str(), duration(s.p999_us).c_str(), duration(s.max_us).c_str());
}

std::string row_title(const measured& m) {
  return m.how.has_limit ? format("limit %s", mib(m.limit_bytes).c_str()) : m.how.title();
}

std::string table_row(const measured& m) {
  return format("%-10s%6s%7s%6s%6s%8llu%5.0f%%%11.0f%9.0f%9s%9s%9s%9s%9s%9s\n", row_title(m).c_str(),
                mib(m.peak_rss_bytes).c_str(), mib(m.peak_mapped_bytes).c_str(), mib(m.goal_bytes).c_str(),
                mib(m.live_bytes).c_str(), static_cast<unsigned long long>(m.cycles), m.gc_cpu_percent,
                static_cast<double>(m.all.count) / m.timed_s, static_cast<double>(m.replaced) / m.timed_s,
                duration(m.all.p99_us).c_str(), duration(m.all.p999_us).c_str(),
                duration(m.pauses.p50_us).c_str(), duration(m.pauses.p99_us).c_str(),
                duration(m.pauses.max_us).c_str(), duration(m.gaps.max_us).c_str());
}

}  // namespace

std::string index_line(const records& from, double seconds) {
  return format("%zu stanzas, %zu names, %zu dependency edges in %zu clauses, %zu provides; read in %.2f s\n",
                from.stanzas.size(), from.names.size(), from.targets.size(), from.clauses.size(),
                from.provides.size(), seconds);
}

std::string setting_block(const measured& from) {
  std::string out = format(
      "GC %s: graph of %s MiB built in %.2f s; %.1f s timed, %llu cycles, %llu answers checked%s\n",
      row_title(from).c_str(), mib(from.live_bytes).c_str(), from.build_s, from.timed_s,
      static_cast<unsigned long long>(from.cycles), static_cast<unsigned long long>(from.checked),
      from.wrong == 0 ? "" : ", SOME WRONG");
  for (std::size_t k = 0; k < k_query_kinds; k++) out += latency_line(k_query_names[k].data(), from.kinds[k]);
  out += latency_line("waited", from.waited);
  out += latency_line("pauses", from.pauses);
  out += latency_line("gaps", from.gaps);
  return out + "\n";
}

std::string final_table(const std::vector<measured>& rows, const plan& what) {
  std::string out = format(
      "%zu %s in flight on %d P%s, 1 thread replacing; %.3g s a setting, each in a process of its own; "
      "memory in MiB, of which %s are the records\n",
      what.in_flight, what.in_flight == 1 ? "query" : "queries", what.procs, what.procs == 1 ? "" : "s",
      what.seconds, rows.empty() ? "0" : mib(rows[0].base_rss_bytes).c_str());
  out +=
      "            peak   peak                  GC                          query            pause as felt   "
      "       longest\n";
  out +=
      "GC %         RSS mapped  goal  live  cycles   CPU  queries/s  repl./s      p99    p99.9      p50      "
      "p99      max      gap\n";
  for (const measured& m : rows) out += table_row(m);
  return out;
}

std::string json_document(const std::vector<measured>& rows, const plan& what) {
  std::string out = format(
      "{\"in_flight\": %zu, \"procs\": %d, \"seconds\": %.15g, \"seed\": %llu, \"settings\": [",
      what.in_flight, what.procs, what.seconds, static_cast<unsigned long long>(what.seed));
  for (const measured& m : rows) out += (&m == rows.data() ? "\n  " : ",\n  ") + to_json(m);
  return out + "\n]}\n";
}

}  // namespace depgraph
