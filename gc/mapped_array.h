// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// An array for what grows while the world is stopped, when nobody may call malloc.
#pragma once
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "heap/os.h"

namespace cairn::gc {

// Of pages of its own, straight from the system.
template <class T>
class mapped_array {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  mapped_array() = default;
  ~mapped_array() {
    if (first_ != nullptr) heap::the_os().release(first_, capacity_ * sizeof(T));
  }
  mapped_array(const mapped_array&) = delete;
  mapped_array& operator=(const mapped_array&) = delete;

  // False: there is no memory, and nothing was added.
  bool push(const T& value) noexcept {
    if (size_ == capacity_ && !grow()) return false;
    first_[size_++] = value;
    return true;
  }
  T pop() noexcept { return first_[--size_]; }
  std::size_t size() const noexcept { return size_; }
  bool empty() const noexcept { return size_ == 0; }
  T& operator[](std::size_t i) noexcept { return first_[i]; }
  T* begin() noexcept { return first_; }
  T* end() noexcept { return first_ + size_; }
  const T* begin() const noexcept { return first_; }
  const T* end() const noexcept { return first_ + size_; }
  std::size_t capacity_bytes() const noexcept { return capacity_ * sizeof(T); }

 private:
  bool grow() noexcept {
    constexpr std::size_t k_first_bytes = std::size_t{64} << 10;  // the largest physical page there is
    static_assert(k_first_bytes % sizeof(T) == 0);
    const std::size_t capacity = capacity_ == 0 ? k_first_bytes / sizeof(T) : 2 * capacity_;
    auto* made = static_cast<T*>(heap::the_os().map(capacity * sizeof(T)));
    if (made == nullptr) return false;
    if (size_ != 0) std::memcpy(made, first_, size_ * sizeof(T));
    if (first_ != nullptr) heap::the_os().release(first_, capacity_ * sizeof(T));
    first_ = made;
    capacity_ = capacity;
    return true;
  }

  T* first_ = nullptr;
  std::size_t size_ = 0, capacity_ = 0;
};

}  // namespace cairn::gc
