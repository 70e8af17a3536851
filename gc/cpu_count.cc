// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// See gc/cpu_count.h.
//
// /proc/self/cgroup names the process's group in each hierarchy, /proc/self/mountinfo where each is mounted
// and which of its groups the mount shows as its root (not "/" in a container). The quota files are looked
// for from the group up to the mount point.
#include "gc/cpu_count.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <vector>

#include "heap/file.h"

namespace cairn::gc {
namespace {

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (;;) {
    std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

bool has_word(std::string_view commas, std::string_view word) {
  auto words = split(commas, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::optional<double> parse_positive(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  std::uint64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0) return {};
  return static_cast<double>(value);
}

struct group {
  bool v2 = false;
  std::string_view path;
};

// The group that limits CPU: the v1 hierarchy with the cpu controller when there is one, else the v2
// hierarchy.
std::optional<group> find_group(std::string_view cgroup_file) {
  std::optional<group> found;
  for (std::string_view line : split(cgroup_file, '\n')) {
    auto fields = split(line, ':');
    if (fields.size() < 3) continue;
    std::string_view path = line.substr(fields[0].size() + fields[1].size() + 2);
    if (has_word(fields[1], "cpu")) return group{false, path};
    if (fields[0] == "0" && fields[1].empty()) found = group{true, path};
  }
  return found;
}

struct mount {
  std::string_view root;
  std::string_view point;
};

// Fields of a line: id, parent, device, root, mount point, options, optional ones, "-", type, source, super
// options.
std::optional<mount> find_mount(std::string_view mountinfo, bool v2) {
  for (std::string_view line : split(mountinfo, '\n')) {
    auto fields = split(line, ' ');
    auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 7 || fields.end() - dash < 4) continue;
    if (v2 ? dash[1] == "cgroup2" : dash[1] == "cgroup" && has_word(dash[3], "cpu"))
      return mount{fields[3], fields[4]};
  }
  return {};
}

// CPUs allowed by the files of one group.
std::optional<double> group_quota(const file_reader& read, const std::string& folder, bool v2) {
  std::optional<double> quota, period;
  if (v2) {
    auto text = read(folder + "/cpu.max");  // "max 100000" or "150000 100000"
    if (!text) return {};
    auto fields = split(*text, ' ');
    if (fields.size() != 2) return {};
    quota = parse_positive(fields[0]);
    period = parse_positive(fields[1]);
  } else {
    auto text = read(folder + "/cpu.cfs_quota_us");  // -1: none
    if (text) quota = parse_positive(*text);
    text = read(folder + "/cpu.cfs_period_us");
    if (text) period = parse_positive(*text);
  }
  if (!quota || !period) return {};
  return *quota / *period;
}

std::optional<std::string> read_file(const std::string& path) {
  const heap::file from(path.c_str());
  std::string text;
  char buffer[4096];
  ssize_t n;
  while ((n = from.read(buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<std::size_t>(n));
  if (n < 0) return {};
  return text;
}

int affinity_cpus() {
  for (int cpus = CPU_SETSIZE; cpus <= 1 << 18; cpus *= 2) {
    cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(cpus));
    if (set == nullptr) break;
    std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(cpus));
    int count = sched_getaffinity(0, bytes, set) == 0 ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
  return std::max(1, static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace

std::optional<double> cgroup_cpu_quota(const file_reader& read) {
  auto groups = read("/proc/self/cgroup");
  auto mounts = read("/proc/self/mountinfo");
  if (!groups || !mounts) return {};
  auto own = find_group(*groups);
  if (!own) return {};
  auto where = find_mount(*mounts, own->v2);
  if (!where) return {};
  std::string_view path = own->path;
  if (where->root != "/" && path.substr(0, where->root.size()) == where->root)
    path.remove_prefix(where->root.size());
  std::optional<double> smallest;
  for (;;) {
    if (path == "/") path = "";
    auto quota = group_quota(read, std::string(where->point) + std::string(path), own->v2);
    if (quota) smallest = smallest ? std::min(*smallest, *quota) : *quota;
    std::size_t slash = path.rfind('/');
    if (slash == std::string_view::npos) return smallest;
    path = path.substr(0, slash);
  }
}

int cpus_within_quota(int affinity, std::optional<double> quota) {
  if (!quota || *quota >= affinity) return std::max(affinity, 1);
  return std::max(1, std::min(affinity, std::max(2, static_cast<int>(std::ceil(*quota)))));
}

int usable_cpus() { return cpus_within_quota(affinity_cpus(), cgroup_cpu_quota(read_file)); }

}  // namespace cairn::gc
