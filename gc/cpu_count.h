// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// How many CPUs this process may use: the default of CAIRNMAXPROCS.
//
// The affinity mask, and no more than the cgroup quota (v2 cpu.max, or v1 cpu.cfs_quota_us) rounded up but
// at least two, as Go 1.25 decides it: with a quota below two CPUs a second P still lets short bursts
// overlap. Unlike Go the quotas of the enclosing groups count too, as they do to the kernel. Asked once at
// start; later changes of the quota are not followed.
#pragma once
#include <functional>
#include <optional>
#include <string>

namespace cairn::gc {

int usable_cpus();

// The parts, pure, for tests. `read` returns the content of a file, nothing when it cannot be read.
using file_reader = std::function<std::optional<std::string>(const std::string& path)>;
std::optional<double> cgroup_cpu_quota(const file_reader& read);  // in CPUs; nothing: no quota
int cpus_within_quota(int affinity_cpus, std::optional<double> quota);

}  // namespace cairn::gc
