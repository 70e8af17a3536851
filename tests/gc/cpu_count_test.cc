// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The default number of Ps, from cgroup files as kernels and container runtimes write them.
#include "gc/cpu_count.h"

#include <map>
#include <string>

#include <gtest/gtest.h>
#include <sched.h>

namespace cairn::gc {
namespace {

using files = std::map<std::string, std::string>;

std::optional<double> quota_of(const files& f) {
  return cgroup_cpu_quota([&](const std::string& path) -> std::optional<std::string> {
    auto found = f.find(path);
    if (found == f.end()) return {};
    return found->second;
  });
}

const std::string k_v2_mounts =
    "22 28 0:21 / /proc rw,nosuid shared:12 - proc proc rw\n"
    "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string k_v1_mounts =
    "33 32 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
    "34 32 0:30 / /sys/fs/cgroup/memory rw shared:10 - cgroup cgroup rw,memory\n";

files v2(const std::string& own, const std::string& own_max) {
  return {{"/proc/self/cgroup", "0::" + own + "\n"},
          {"/proc/self/mountinfo", k_v2_mounts},
          {"/sys/fs/cgroup" + (own == "/" ? "" : own) + "/cpu.max", own_max}};
}

TEST(CpuCount, FindsNoQuotaWithoutCgroups) {
  EXPECT_EQ(quota_of({}), std::nullopt);
  EXPECT_EQ(quota_of({{"/proc/self/cgroup", "0::/x\n"}}), std::nullopt);
  EXPECT_EQ(quota_of({{"/proc/self/cgroup", "0::/x\n"}, {"/proc/self/mountinfo", ""}}), std::nullopt);
  EXPECT_EQ(quota_of({{"/proc/self/cgroup", ""}, {"/proc/self/mountinfo", k_v2_mounts}}), std::nullopt);
  EXPECT_EQ(quota_of({{"/proc/self/cgroup", "\0:::noise"}, {"/proc/self/mountinfo", "- - - -"}}),
            std::nullopt);
}

TEST(CpuCount, ReadsTheQuotaOfVersionTwo) {
  EXPECT_EQ(quota_of(v2("/a/b", "150000 100000\n")), 1.5);
  EXPECT_EQ(quota_of(v2("/", "400000 100000\n")), 4.0);
  EXPECT_EQ(quota_of(v2("/a/b", "max 100000\n")), std::nullopt);
  EXPECT_EQ(quota_of(v2("/a/b", "150000\n")), std::nullopt);
  EXPECT_EQ(quota_of(v2("/a/b", "150000 0\n")), std::nullopt);
}

TEST(CpuCount, TakesTheSmallestQuotaOfTheEnclosingGroups) {
  files f = v2("/a/b", "800000 100000\n");
  f["/sys/fs/cgroup/a/cpu.max"] = "300000 100000\n";
  EXPECT_EQ(quota_of(f), 3.0);
  f["/sys/fs/cgroup/a/b/cpu.max"] = "max 100000\n";
  EXPECT_EQ(quota_of(f), 3.0);
}

TEST(CpuCount, LooksBelowTheRootThatAContainersMountShows) {
  files f = {{"/proc/self/cgroup", "0::/docker/77aa/worker\n"},
             {"/proc/self/mountinfo", "29 23 0:26 /docker/77aa /sys/fs/cgroup ro - cgroup2 cgroup rw\n"},
             {"/sys/fs/cgroup/worker/cpu.max", "250000 100000\n"}};
  EXPECT_EQ(quota_of(f), 2.5);
}

TEST(CpuCount, ReadsTheQuotaOfVersionOne) {
  files f = {{"/proc/self/cgroup", "5:memory:/m\n4:cpu,cpuacct:/lxc/a:b\n0::/c\n"},
             {"/proc/self/mountinfo", k_v1_mounts + k_v2_mounts},
             {"/sys/fs/cgroup/cpu,cpuacct/lxc/a:b/cpu.cfs_quota_us", "50000\n"},
             {"/sys/fs/cgroup/cpu,cpuacct/lxc/a:b/cpu.cfs_period_us", "100000\n"}};
  EXPECT_EQ(quota_of(f), 0.5);
  f["/sys/fs/cgroup/cpu,cpuacct/lxc/a:b/cpu.cfs_quota_us"] = "-1\n";
  EXPECT_EQ(quota_of(f), std::nullopt);
}

TEST(CpuCount, RoundsTheQuotaUpButNotBelowTwo) {
  EXPECT_EQ(cpus_within_quota(8, {}), 8);
  EXPECT_EQ(cpus_within_quota(8, 0.5), 2);
  EXPECT_EQ(cpus_within_quota(8, 2.0), 2);
  EXPECT_EQ(cpus_within_quota(8, 2.1), 3);
  EXPECT_EQ(cpus_within_quota(8, 100.0), 8);
  EXPECT_EQ(cpus_within_quota(1, 0.5), 1);
  EXPECT_EQ(cpus_within_quota(1, {}), 1);
  EXPECT_EQ(cpus_within_quota(0, 0.1), 1);
}

TEST(CpuCount, FollowsTheAffinityOfTheProcess) {
  cpu_set_t before, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof(before), &before), 0);
  int all = usable_cpus();
  EXPECT_GE(all, 1);
  EXPECT_LE(all, CPU_COUNT(&before));
  int first = 0;
  while (!CPU_ISSET(first, &before)) ++first;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
  EXPECT_EQ(usable_cpus(), 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof(before), &before), 0);
}

}  // namespace
}  // namespace cairn::gc
