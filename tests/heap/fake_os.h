// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// heap/os.h for tests: real memory from the system, every precondition of the contract checked, and calls
// that fail when told to. While an object of it lives it is the_os() for the thread that has made it, and for those
// that say so (fake_os::use). All others go to the system as ever: threads of the runtime, which earlier tests of the
// process have started, come when they like with memory that it does not know (sysmon gives idle stacks back, the
// sweeper idle pages), and one of them may be inside a call when it is destroyed.
#pragma once
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "heap/os.h"

namespace cairn::heap {

// Disjoint ranges of addresses.
class range_set {
 public:
  void add(std::uintptr_t begin, std::uintptr_t end) {
    remove(begin, end);
    ranges_[begin] = end;
  }
  void remove(std::uintptr_t begin, std::uintptr_t end) {
    auto i = ranges_.upper_bound(begin);
    if (i != ranges_.begin()) --i;
    while (i != ranges_.end() && i->first < end) {
      const std::uintptr_t b = i->first, e = i->second;
      if (e <= begin) {
        ++i;
        continue;
      }
      i = ranges_.erase(i);
      if (b < begin) ranges_[b] = begin;
      if (e > end) ranges_[end] = e;
    }
  }
  bool contains(std::uintptr_t begin, std::uintptr_t end) const {
    while (begin < end) {
      auto i = ranges_.upper_bound(begin);
      if (i == ranges_.begin()) return false;
      --i;
      if (i->second <= begin) return false;
      begin = i->second;
    }
    return true;
  }
  // In one range, not in several that touch.
  bool contains_in_one(std::uintptr_t begin, std::uintptr_t end) const {
    auto i = ranges_.upper_bound(begin);
    return i != ranges_.begin() && (--i)->first <= begin && end <= i->second;
  }
  std::size_t bytes() const {
    std::size_t sum = 0;
    for (auto [begin, end] : ranges_) sum += end - begin;
    return sum;
  }

 private:
  std::map<std::uintptr_t, std::uintptr_t> ranges_;
};

// The replacement of the_os() in a program of tests, from before main() on, so that it does not change while any thread
// reads it: sends each thread to its own.
class os_of_threads final : public os {
 public:
  os_of_threads() : system_(the_os()) { set_os(this); }

  os& of_thread() const noexcept { return mine != nullptr ? *mine : system_; }
  static inline thread_local os* mine = nullptr;

  void* reserve(std::size_t bytes, std::size_t align, void* hint) noexcept override {
    return of_thread().reserve(bytes, align, hint);
  }
  bool commit(void* at, std::size_t bytes) noexcept override { return of_thread().commit(at, bytes); }
  bool give_back(void* at, std::size_t bytes) noexcept override { return of_thread().give_back(at, bytes); }
  void release(void* at, std::size_t bytes) noexcept override { of_thread().release(at, bytes); }
  void* map(std::size_t bytes) noexcept override { return of_thread().map(bytes); }
  void advise(void* at, std::size_t bytes, huge_pages wanted) noexcept override {
    of_thread().advise(at, bytes, wanted);
  }
  guard_kind guard(void* at, std::size_t bytes, bool may_split) noexcept override {
    return of_thread().guard(at, bytes, may_split);
  }
  std::size_t guard_marks(const range* ranges, std::size_t n) noexcept override {
    return of_thread().guard_marks(ranges, n);
  }
  void unmark(const range* ranges, std::size_t n) noexcept override { of_thread().unmark(ranges, n); }
  bool populate(const range* ranges, std::size_t n) noexcept override {
    return of_thread().populate(ranges, n);
  }
  std::size_t physical_page_bytes() const noexcept override { return of_thread().physical_page_bytes(); }
  std::size_t address_space_left() const noexcept override { return of_thread().address_space_left(); }

 private:
  os& system_;
};
inline os_of_threads the_os_of_threads;

class fake_os final : public os {
 public:
  // For a scope of another thread than the one that has made it.
  class use {
   public:
    explicit use(fake_os& fake) : before_(std::exchange(os_of_threads::mine, &fake)) {}
    ~use() { os_of_threads::mine = before_; }
    use(const use&) = delete;
    use& operator=(const use&) = delete;

   private:
    os* const before_;
  };

  enum kind { k_reserve, k_commit, k_give_back, k_release, k_map, k_advise, k_guard, k_populate, k_kinds };
  static constexpr std::size_t k_never = SIZE_MAX;

  fake_os() = default;
  ~fake_os() {
    for (const std::string& v : violations_) ADD_FAILURE() << v;
  }
  fake_os(const fake_os&) = delete;
  fake_os& operator=(const fake_os&) = delete;

  // Of the calls that can fail, the n-th from now on (0 is the next one) does; once.
  void fail_call(std::size_t n) { fail_in_ = n; }
  // Calls of one kind fail from now on, or no more.
  void fail_kind(kind k, bool fails = true) { fails_[k] = fails; }
  // Reservations of more fail.
  void limit_reservation(std::size_t bytes) { largest_reservation_ = bytes; }
  void set_address_space_left(std::size_t bytes) { address_space_left_ = bytes; }
  void set_physical_page(std::size_t bytes) { page_bytes_ = bytes; }

  std::size_t calls(kind k) const { return calls_[k]; }
  std::size_t failures() const { return failures_; }
  std::size_t reserved_bytes() const { return reserved_.bytes(); }
  std::size_t committed_bytes() const { return committed_.bytes(); }
  std::size_t mapped_bytes() const { return mapped_.bytes(); }
  const std::vector<std::string>& violations() const { return violations_; }
  void forget_violations() { violations_.clear(); }
  // The ranges given back, in order.
  std::vector<std::pair<char*, std::size_t>> given_back;
  // Called in give_back, before it happens and with nothing locked.
  std::function<void()> on_give_back;

  void* reserve(std::size_t bytes, std::size_t align, void* hint) noexcept override {
    std::lock_guard guard(lock_);
    expect(bytes != 0 && bytes % page_bytes_ == 0, "reserve: size");
    expect(align != 0 && (align & (align - 1)) == 0 && align % page_bytes_ == 0, "reserve: alignment");
    expect(address(hint) % align == 0, "reserve: hint");
    if (fails(k_reserve) || bytes > largest_reservation_) return nullptr;
    void* p = real_.reserve(bytes, align, hint);
    if (p != nullptr) reserved_.add(address(p), address(p) + bytes);
    return p;
  }
  bool commit(void* at, std::size_t bytes) noexcept override {
    std::lock_guard guard(lock_);
    expect_pages(at, bytes, "commit");
    expect(reserved_.contains_in_one(address(at), address(at) + bytes), "commit: outside a reservation");
    if (fails(k_commit) || !real_.commit(at, bytes)) return false;
    committed_.add(address(at), address(at) + bytes);
    return true;
  }
  bool give_back(void* at, std::size_t bytes) noexcept override {
    if (on_give_back) on_give_back();
    std::lock_guard guard(lock_);
    expect_pages(at, bytes, "give_back");
    expect_committed(at, bytes, "give_back: not committed");
    if (fails(k_give_back)) return false;
    given_back.emplace_back(static_cast<char*>(at), bytes);
    return real_.give_back(at, bytes);
  }
  void release(void* at, std::size_t bytes) noexcept override {
    std::lock_guard guard(lock_);
    expect_pages(at, bytes, "release");
    const std::uintptr_t begin = address(at), end = begin + bytes;
    expect(reserved_.contains_in_one(begin, end) || mapped_.contains_in_one(begin, end), "release: not ours");
    ++calls_[k_release];
    reserved_.remove(begin, end);
    committed_.remove(begin, end);
    mapped_.remove(begin, end);
    real_.release(at, bytes);
  }
  void* map(std::size_t bytes) noexcept override {
    std::lock_guard guard(lock_);
    expect(bytes != 0 && bytes % page_bytes_ == 0, "map: size");
    if (fails(k_map)) return nullptr;
    void* p = real_.map(bytes);
    if (p != nullptr) mapped_.add(address(p), address(p) + bytes);
    return p;
  }
  void advise(void* at, std::size_t bytes, huge_pages wanted) noexcept override {
    std::lock_guard guard(lock_);
    ++calls_[k_advise];
    expect_pages(at, bytes, "advise");
    expect_committed(at, bytes, "advise: not committed");
    real_.advise(at, bytes, wanted);
  }
  guard_kind guard(void* at, std::size_t bytes, bool may_split) noexcept override {
    std::lock_guard guard(lock_);
    expect_pages(at, bytes, "guard");
    expect_committed(at, bytes, "guard: not committed");
    if (fails(k_guard)) return guard_kind::none;
    return real_.guard(at, bytes, may_split);
  }
  std::size_t guard_marks(const range* ranges, std::size_t n) noexcept override {
    std::lock_guard guard(lock_);
    expect_ranges(ranges, n, "guard_marks");
    return fails(k_guard) ? 0 : real_.guard_marks(ranges, n);
  }
  void unmark(const range* ranges, std::size_t n) noexcept override {
    std::lock_guard guard(lock_);
    expect_ranges(ranges, n, "unmark");
    real_.unmark(ranges, n);
  }
  bool populate(const range* ranges, std::size_t n) noexcept override {
    std::lock_guard guard(lock_);
    expect_ranges(ranges, n, "populate");
    return !fails(k_populate) && real_.populate(ranges, n);
  }
  std::size_t physical_page_bytes() const noexcept override { return page_bytes_; }
  std::size_t address_space_left() const noexcept override { return address_space_left_; }

 private:
  static std::uintptr_t address(const void* p) { return reinterpret_cast<std::uintptr_t>(p); }
  void expect(bool holds, const char* what) {
    if (!holds) violations_.emplace_back(what);
  }
  void expect_pages(void* at, std::size_t bytes, const char* what) {
    expect(address(at) % page_bytes_ == 0 && bytes != 0 && bytes % page_bytes_ == 0, what);
  }
  void expect_committed(void* at, std::size_t bytes, const char* what) {
    const std::uintptr_t begin = address(at), end = begin + bytes;
    expect(committed_.contains(begin, end) || mapped_.contains(begin, end), what);
  }
  void expect_ranges(const range* ranges, std::size_t n, const char* what) {
    expect(n <= k_most_ranges, what);
    for (std::size_t i = 0; i < n; ++i) {
      expect_pages(ranges[i].address, ranges[i].bytes, what);
      expect_committed(ranges[i].address, ranges[i].bytes, what);
    }
  }
  bool fails(kind k) {
    ++calls_[k];
    const bool fail = fails_[k] || fail_in_ == 0;
    if (fail_in_ != k_never) fail_in_ = fail_in_ == 0 ? k_never : fail_in_ - 1;
    failures_ += fail ? 1 : 0;
    return fail;
  }

  os& real_ = the_os_of_threads.of_thread();
  const use here_{*this};
  std::mutex lock_;  // of all below
  range_set reserved_, committed_, mapped_;
  std::size_t fail_in_ = k_never;
  bool fails_[k_kinds] = {};
  std::size_t calls_[k_kinds] = {};
  std::size_t failures_ = 0;
  std::size_t largest_reservation_ = SIZE_MAX;
  std::size_t address_space_left_ = SIZE_MAX;
  std::size_t page_bytes_ = real_.physical_page_bytes();
  std::vector<std::string> violations_;
};

}  // namespace cairn::heap
