// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The parts of the pause benchmark: options, the histogram, the stopwatch, what the samples tell, figures, charts.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <ctime>
#include <thread>

#include <cairn/cairn.h>

#include "bench/pause/command_line.h"
#include "bench/pause/disturbance.h"
#include "bench/pause/machine.h"
#include "bench/pause/recorder.h"
#include "bench/pause/sampler.h"
#include "bench/pause/shapes.h"
#include "bench/pause/summary.h"
#include "bench/pause/svg_chart.h"
#include "gc/histogram.h"
#include "scale.h"

namespace {

using namespace pause_bench;
using testing::HasSubstr;

// The complaint about the arguments, empty if they are accepted.
std::string complaint(const std::vector<std::string>& arguments) {
  try {
    read_command_line(arguments);
    return {};
  } catch (const usage_error& e) {
    return e.what();
  }
}

plan plan_of(const std::vector<std::string>& arguments) { return read_command_line(arguments).what; }

TEST(PauseCommandLine, ReadsSizesRatesAndUnits) {
  plan p = plan_of({"--live", "4G", "--shape=tree", "--rate=2.5M", "--unit", "20us", "--memory-limit=1536MiB",
                    "--percent", "off", "--duration=300s", "--control", "only", "--repeat", "5"});
  EXPECT_EQ(p.live_bytes, std::size_t{4} << 30);
  EXPECT_EQ(p.shape, shape_kind::tree);
  EXPECT_EQ(p.rate, 2.5e6);
  EXPECT_EQ(p.unit_us, 20);
  EXPECT_EQ(p.memory_limit, std::size_t{1536} << 20);
  EXPECT_EQ(p.gc_percent, cairn::gc_off);
  EXPECT_EQ(p.seconds, 300);
  EXPECT_EQ(p.control, control_mode::only);
  EXPECT_EQ(p.repeat, 5u);
  EXPECT_EQ(plan_of({"--rate", "full"}).rate, 0);
  EXPECT_EQ(plan_of({"--live", "67108864"}).live_bytes, std::size_t{64} << 20);
  EXPECT_FALSE(plan_of({}).gc_percent) << "the environment's";
}

TEST(PauseCommandLine, GivesTheRingTheSizeThatIsAskedFor) {
  EXPECT_EQ(plan_of({"--shape", "ring"}).ring_messages, 200'000u);
  EXPECT_EQ(plan_of({"--shape", "ring", "--live", "64M"}).ring_messages, 65536u);
  EXPECT_EQ(plan_of({"--shape", "ring", "--ring", "5000"}).live_bytes, 5000u * 1024);
  EXPECT_EQ(plan_of({"--ring", "200000", "--shape", "tree"}).live_bytes, std::size_t{256} << 20);
}

TEST(PauseCommandLine, RejectsWhatItCannotUseAndNamesIt) {
  EXPECT_THAT(complaint({"--live", "4X"}), HasSubstr("--live 4X"));
  EXPECT_THAT(complaint({"--live", "-4G"}), HasSubstr("--live -4G"));
  EXPECT_THAT(complaint({"--live", "1e99G"}), HasSubstr("--live"));
  EXPECT_THAT(complaint({"--live", "1M"}), HasSubstr("less than 4 MiB"));
  EXPECT_THAT(complaint({"--live", "8M", "--threads", "3"}), HasSubstr("less than 4 MiB"));
  EXPECT_THAT(complaint({"--shape", "heap"}), HasSubstr("tree, graph, arrays, ring"));
  EXPECT_THAT(complaint({"--rate", "0"}), HasSubstr("--rate 0"));
  EXPECT_THAT(complaint({"--rate", "3G"}), HasSubstr("--rate 3G"));
  EXPECT_THAT(complaint({"--threads", "0"}), HasSubstr("--threads 0"));
  EXPECT_THAT(complaint({"--threads", "2x"}), HasSubstr("--threads 2x"));
  EXPECT_THAT(complaint({"--unit", "10ms"}), HasSubstr("--unit 10ms"));
  EXPECT_THAT(complaint({"--control", "maybe"}), HasSubstr("on, off, only"));
  EXPECT_THAT(complaint({"--percent", "off"}), HasSubstr("--memory-limit"));
  EXPECT_THAT(complaint({"--shape", "ring", "--ring", "9", "--live", "8M"}), HasSubstr("both"));
  EXPECT_THAT(complaint({"--ring", "1", "--threads", "2"}), HasSubstr("fewer messages than threads"));
  EXPECT_THAT(complaint({"--frobnicate", "1"}), HasSubstr("--frobnicate"));
  EXPECT_THAT(complaint({"--html"}), HasSubstr("--html: no value"));
  EXPECT_THAT(complaint({"graph"}), HasSubstr("graph"));
  EXPECT_EQ(complaint({"--percent", "off", "--memory-limit", "1G"}), "");
  EXPECT_EQ(complaint({"--help", "--frobnicate"}), "");
}

TEST(PauseCommandLine, TheHelpNamesEveryOption) {
  for (const char* option : {"--live", "--shape", "--ring", "--threads", "--allocators", "--parked",
                             "--running", "--rate", "--unit", "--percent", "--memory-limit", "--duration",
                             "--warmup", "--repeat", "--control", "--html", "--seed"}) {
    EXPECT_THAT(help_text(), HasSubstr(std::string("\n  ") + option + " "));
    EXPECT_THAT(complaint({option, "?"}), testing::Not(HasSubstr("unknown option"))) << option;
  }
}

TEST(PauseHistogram, PercentilesAreNoSmallerThanExactOnesAndCloseToThem) {
  interval_histogram h;
  EXPECT_EQ(h.percentile_ns(99), 0u);
  std::vector<std::uint64_t> values;
  xorshift random{7};
  for (std::size_t i = 0; i < test_count(20'000, 2'000); i++)
    values.push_back(random.next() >> (20 + random.below(44)));
  for (std::uint64_t value : values) h.add(value);
  std::sort(values.begin(), values.end());
  for (double percent : {1., 50., 90., 99., 99.9, 100.}) {
    const auto rank = static_cast<std::size_t>(std::ceil(static_cast<double>(values.size()) * percent / 100));
    const std::uint64_t exact = values[std::max<std::size_t>(rank, 1) - 1], told = h.percentile_ns(percent);
    EXPECT_GE(told, exact) << percent;
    EXPECT_LE(static_cast<double>(told), static_cast<double>(exact) * (1 + 1. / 32) + 1) << percent;
  }
  EXPECT_EQ(h.max_ns(), values.back());
  EXPECT_EQ(h.count(), values.size());
}

TEST(PauseHistogram, BucketsTileTheNumbers) {
  interval_histogram h;
  for (int shift = 0; shift < 58; shift++) {
    for (std::uint64_t step = 0; step < 64; step++) h.add((std::uint64_t{1} << shift) + (step << shift) / 64);
  }
  std::uint64_t after = 0, entries = 0;
  h.for_each_bucket([&](std::uint64_t first, std::uint64_t last, std::uint64_t count) {
    EXPECT_TRUE(after == 0 || first == after) << "a gap or an overlap at " << first;
    after = last + 1;
    entries += count;
  });
  EXPECT_EQ(entries, h.count());
}

TEST(PauseHistogram, CountsEntriesFromALengthOn) {
  interval_histogram h;
  EXPECT_EQ(h.count_from(0), 0u);
  for (std::uint64_t us : {1, 50, 99, 130, 130, 5000}) h.add(us * 1000);
  EXPECT_EQ(h.count_from(0), 6u);
  EXPECT_EQ(h.count_from(120'000), 3u);
  EXPECT_EQ(h.count_from(1'000'000), 1u);
  EXPECT_EQ(h.count_from(6'000'000), 0u);
}

TEST(PauseHistogram, MergeIsAddingAll) {
  interval_histogram a, b, both;
  for (std::uint64_t i = 0; i < 1000; i++) {
    (i % 3 == 0 ? a : b).add(i * i);
    both.add(i * i);
  }
  a.merge(b);
  for (double percent : {10., 50., 99.9}) EXPECT_EQ(a.percentile_ns(percent), both.percentile_ns(percent));
  EXPECT_EQ(a.count(), both.count());
  EXPECT_EQ(a.max_ns(), both.max_ns());
}

// What the stopwatch is told of context switches.
switch_counts g_switches;
switch_counts told_switches() { return g_switches; }

void spend(std::chrono::microseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) continue;
}

TEST(PauseStopwatch, LapsWithAnInvoluntarySwitchOnlyAreKeptApart) {
  tick_clock::calibrate();
  long_laps long_ones;
  series laps;
  laps.look_from_ns = 200'000;
  g_switches = {3, 5};
  stopwatch watch(long_ones, &told_switches);
  watch.start();
  spend(std::chrono::microseconds(300));
  watch.lap(lap_kind::unit, laps);
  EXPECT_EQ(laps.alone.count(), 1u);

  g_switches.involuntary++;
  spend(std::chrono::microseconds(300));
  watch.lap(lap_kind::unit, laps);
  EXPECT_EQ(laps.switched.count(), 1u);

  g_switches.involuntary++;
  g_switches.voluntary++;  // it waited: for the runtime, because the work never does
  spend(std::chrono::microseconds(300));
  watch.lap(lap_kind::insert, laps);
  EXPECT_EQ(laps.switched.count(), 1u);
  EXPECT_EQ(laps.alone.count(), 2u);

  EXPECT_GE(laps.all().percentile_ns(1), 290'000u);
  ASSERT_EQ(long_ones.laps().size(), 3u);
  EXPECT_TRUE(long_ones.laps()[1].switched);
  EXPECT_EQ(long_ones.laps()[2].kind, lap_kind::insert);
}

TEST(PauseStopwatch, CountsTheKernelsSwitchesOfThisThread) {
  const switch_counts before = switches_of_thread();
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  EXPECT_GT(switches_of_thread().voluntary, before.voluntary);
}

TEST(PauseStopwatch, LongLapsBeyondTheRoomAreCounted) {
  long_laps laps;
  for (std::size_t i = 0; i < long_laps::k_room + 5; i++) laps.add({i, 1, lap_kind::unit, false});
  EXPECT_EQ(laps.laps().size(), long_laps::k_room);
  EXPECT_EQ(laps.left_out(), 5u);
}

TEST(PauseDisturbance, OwnWorkIsNotOthers) {
  const auto begin = std::chrono::steady_clock::now();
  const disturbance_meter meter;
  const std::clock_t start = std::clock();  // processor time: others may leave it little of the time that passes
  while (std::clock() < start + CLOCKS_PER_SEC / 5) continue;
  const disturbance got = meter.so_far();
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
  EXPECT_GT(got.own_cpus * time.count(), 0.19);
  EXPECT_LT(got.own_cpus, 1.5);
  EXPECT_LE(got.others_cpus + got.own_cpus, std::thread::hardware_concurrency() + 0.5);
  EXPECT_EQ(got.stops, 0u);
}

TEST(PauseTickClock, AgreesWithTheSteadyClock) {
  tick_clock::calibrate();
  const auto begin = std::chrono::steady_clock::now();
  const std::uint64_t ticks = tick_clock::now();
  std::this_thread::sleep_for(std::chrono::milliseconds(30));
  const double told = static_cast<double>(tick_clock::to_ns(tick_clock::now() - ticks));
  const double right = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - begin)
                           .count();
  EXPECT_GE(right, told * 0.99);
  EXPECT_NEAR(static_cast<double>(tick_clock::to_ns(tick_clock::of(std::chrono::milliseconds(30)))), 30e6,
              1e4);
}

TEST(PauseMachine, ASliceIsNoShorterThanItIsMeantToBe) {
  tick_clock::calibrate();
  const series seen = bare_slices(2, 0.05);
  const interval_histogram all = seen.all();
  ASSERT_GT(all.count(), 0u);
  // To the width of a bucket, and what converting ticks rounds off.
  EXPECT_GE(all.percentile_ns(0), k_slice_us * 1000 * 95 / 100);
}

TEST(PauseSampler, ASeriesOfSamplesTellsTheCycles) {
  auto at = [](std::uint64_t t, std::size_t live, std::size_t cycles, bool marking) {
    return sample{t, t + 1, live, 100, cycles, marking, 0, 0};
  };
  // Marking is seen in the second and third; the cycle from 50 to 61 with the world stopped is not.
  std::vector<sample> seen = {at(0, 60, 4, false),  at(10, 90, 4, true),  at(20, 97, 4, true),
                              at(30, 55, 5, false), at(40, 70, 5, false), at(50, 88, 5, false),
                              at(60, 50, 6, false)};
  std::vector<cycle_seen> cycles = cycles_in(seen);
  ASSERT_EQ(cycles.size(), 2u);
  EXPECT_EQ(cycles[0].begin_ticks, 10u);
  EXPECT_EQ(cycles[0].end_ticks, 31u);
  EXPECT_DOUBLE_EQ(cycles[0].heap_to_goal, 0.97);
  EXPECT_EQ(cycles[1].begin_ticks, 50u);
  EXPECT_EQ(cycles[1].end_ticks, 61u);
  EXPECT_DOUBLE_EQ(cycles[1].heap_to_goal, 0.88);
  seen.back().goal_bytes = seen[5].goal_bytes = SIZE_MAX;
  EXPECT_EQ(cycles_in(seen)[1].heap_to_goal, 0);
  seen.push_back(at(70, 60, 6, true));
  seen.push_back(at(80, 80, 6, true));
  cycles = cycles_in(seen);
  ASSERT_EQ(cycles.size(), 3u) << "one that is not over yet";
  EXPECT_EQ(cycles[2].begin_ticks, 70u);
  EXPECT_EQ(cycles[2].end_ticks, 81u);
}

TEST(PauseShapes, AWalkKeepsTheLiveHeapAsItIs) {
  for (shape_kind kind : {shape_kind::tree, shape_kind::graph, shape_kind::arrays}) {
    std::unique_ptr<live_shape> shape;
    // On a thread of its own: no stale word on this stack keeps what the building used.
    auto on_thread = [](auto f) { std::thread(f).join(); };
    on_thread([&] { shape = make_shape(kind, std::size_t{8} << 20, 3); });
    cairn::gc::collect();
    const std::size_t objects = cairn::gc::read_stats().heap_objects;
    const std::size_t bytes = cairn::gc::read_stats().heap_live_bytes;
    EXPECT_NEAR(static_cast<double>(bytes), 8 << 20, 1 << 20) << name_of(kind);
    on_thread([&] {
      xorshift random{5};
      for (std::size_t i = 0; i < test_count(20'000); i++) shape->walk(16, random);
    });
    cairn::gc::collect();
    EXPECT_NEAR(static_cast<double>(cairn::gc::read_stats().heap_objects), static_cast<double>(objects), 100.)
        << name_of(kind);
    shape.reset();
    cairn::gc::collect();
  }
}

TEST(PauseSummary, FiguresAreTheMediansOfTheRounds) {
  experiment e;
  for (std::uint64_t us : {30, 10, 20}) {
    run_record run, control;
    for (int i = 0; i < 1000; i++) run.laps[0].alone.add(us * 1000);
    run.laps[0].switched.add(us * 1'000'000);
    for (int i = 0; i < 1000; i++) control.laps[0].alone.add(10'000);
    run.seconds = control.seconds = 1;
    e.rounds.push_back({control, run});
  }
  std::vector<summary_block> blocks = summarize(e);
  ASSERT_EQ(blocks.size(), 2u) << "the collector's own record is empty";
  ASSERT_EQ(blocks[0].rows.size(), 3u);
  EXPECT_EQ(blocks[0].rows[0].name, "units");
  EXPECT_EQ(blocks[0].rows[0].count, 3003u);
  EXPECT_NEAR(blocks[0].rows[0].us[0], 20, 0.7);
  EXPECT_NEAR(blocks[0].rows[0].max_us, 20'000, 1);
  EXPECT_NEAR(blocks[0].rows[0].most_us, 30'000, 1);
  EXPECT_NEAR(blocks[0].rows[1].max_us, 20, 0.001);
  std::vector<comparison> compared = compare_with_control(e);
  ASSERT_EQ(compared.size(), 2u);
  EXPECT_NEAR(compared[1].p999, 2, 0.1);
  EXPECT_NEAR(compared[0].max, 2000, 1);
}

TEST(PauseSummary, TellsHowManyWereLongInASecondOfARow) {
  experiment e;
  run_record run;
  for (int i = 0; i < 1000; i++) run.laps[0].alone.add(500'000);  // half a second together
  for (int i = 0; i < 5; i++) run.laps[1].alone.add(200'000);
  for (int i = 0; i < 9; i++) run.laps[1].alone.add(1000);
  // As many as any, of which as many as any are long: no rounding tells one more.
  constexpr auto k_assist = static_cast<std::size_t>(cairn::gc::pause_kind::assist);
  for (std::uint64_t count = 1; count < 40; count++) {
    for (std::uint64_t of_these = 0; of_these <= count; of_these++) {
      cairn::gc::histogram_recorder recorder;
      for (std::uint64_t i = 0; i < count; i++) recorder.add(i < of_these ? 1'000'000 : 1000);
      run.after.by_kind[k_assist] = recorder.snapshot();
      e.rounds.clear();
      e.rounds.push_back({{}, run});
      const summary_row assists = summarize(e)[1].rows[0];
      const double seconds = static_cast<double>(of_these) / 1e3 + static_cast<double>(count - of_these) / 1e6;
      ASSERT_NEAR(assists.long_ones, static_cast<double>(of_these) / seconds, 1e-6)
          << of_these << " of " << count;
    }
  }
  const std::vector<summary_row> felt = summarize(e)[0].rows;
  EXPECT_NEAR(felt[0].long_ones, 2000, 40) << "units: all are";
  EXPECT_NEAR(felt[2].long_ones, 5 / 0.001009, 100) << "readings: five of fourteen";
}

TEST(PauseChart, DrawsWithinItsFrameAndEscapes) {
  auto plain = [](double v) { return std::to_string(v); };
  svg_chart chart({1, 1000, true, "x", plain}, {0, 10, false, "y", plain}, 200, "a < b & \"c\"");
  chart.line({{0.001, -5}, {1e9, 50}}, "run");
  std::string text = chart.finish();
  EXPECT_THAT(text, HasSubstr("a &lt; b &amp; &quot;c&quot;"));
  EXPECT_THAT(text, HasSubstr("M76.0 154.0 L944.0 12.0")) << "what lies outside is drawn on the frame";
  EXPECT_EQ(show_duration_us(0.25), "250 ns");
  EXPECT_EQ(show_duration_us(12.5), "12.5 \u00b5s");
  EXPECT_EQ(show_duration_us(999.9), "1 ms");
  EXPECT_EQ(show_duration_us(2.5e6), "2.5 s");
  EXPECT_EQ(rounded_up(0.3), 0.5);
  EXPECT_EQ(rounded_up(20), 20);
  EXPECT_EQ(rounded_up(7), 10);
}

}  // namespace
