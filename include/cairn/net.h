// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Waiting until a file descriptor is ready. Cairn has no sockets of its own: with these functions any descriptor that
// epoll knows of (a socket, a pipe, a terminal, an eventfd), opened with O_NONBLOCK, is used as in
//
//   while (cairn::would_block(n = read(fd, buffer, size))) cairn::wait_readable(fd);
//
// Not with `n == -1 && errno == EAGAIN`: a goroutine that waits may go on in another thread, whose errno it is then.
// Compilers take the address of errno to be the same throughout a function, and clang 14 keeps it in a register over
// just this loop. For the same reason look at errno in a function that does not wait, or in one place of one that does.
#pragma once
#include <chrono>

namespace cairn {

// Parks the calling goroutine, or blocks the calling thread, until reading from the descriptor would not block, which
// is also so at the end of a file or after an error. True: it is ready, though somebody else who reads from it may be
// faster. False: the deadline has passed; with one that has passed already this looks once and waits for nothing.
//
// Any number may wait for one descriptor, and all are woken. A file that is always ready (a regular one) is. Throws
// std::system_error: of EBADF if there is no such descriptor, or if it is closed meanwhile, which is noticed within a
// second or so where some hundreds of descriptors are waited for; or of what epoll fails with (ENOMEM, ENOSPC). Close a
// descriptor that others wait for by shutdown() first where that is possible. A descriptor that was closed, and whose
// number is in use again, counts as closed.
bool wait_readable(
    int fd, std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max());
// The same for writing.
bool wait_writable(
    int fd, std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max());

// True if a system call that returned `result` would have had to wait: that is -1, and errno is EAGAIN, or EINPROGRESS
// as of a connect(). Leaves errno alone, and attaches nobody.
bool would_block(long result) noexcept;

}  // namespace cairn
