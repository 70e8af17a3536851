// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// Facts about locks that clang checks (-Wthread-safety), and which sanitizer the translation unit is built
// with. With other compilers the annotations are empty.
#pragma once

#if defined(__clang__)
#define CAIRN_THREAD_ANNOTATION_(x) __attribute__((x))
#else
#define CAIRN_THREAD_ANNOTATION_(x)
#endif

// On a class: it is a lock; it holds a lock as long as it lives.
#define CAIRN_CAPABILITY(name) CAIRN_THREAD_ANNOTATION_(capability(name))
#define CAIRN_SCOPED_CAPABILITY CAIRN_THREAD_ANNOTATION_(scoped_lockable)
// On a field: it, or what it points to, is touched only with the lock held.
#define CAIRN_GUARDED_BY(lock) CAIRN_THREAD_ANNOTATION_(guarded_by(lock))
#define CAIRN_PT_GUARDED_BY(lock) CAIRN_THREAD_ANNOTATION_(pt_guarded_by(lock))
// On a function: the caller holds the lock, must not hold it, or gets or loses it by the call.
#define CAIRN_REQUIRES(...) CAIRN_THREAD_ANNOTATION_(requires_capability(__VA_ARGS__))
#define CAIRN_EXCLUDES(...) CAIRN_THREAD_ANNOTATION_(locks_excluded(__VA_ARGS__))
#define CAIRN_ACQUIRE(...) CAIRN_THREAD_ANNOTATION_(acquire_capability(__VA_ARGS__))
#define CAIRN_RELEASE(...) CAIRN_THREAD_ANNOTATION_(release_capability(__VA_ARGS__))
#define CAIRN_TRY_ACQUIRE(...) CAIRN_THREAD_ANNOTATION_(try_acquire_capability(__VA_ARGS__))
#define CAIRN_ASSERT_HELD(...) CAIRN_THREAD_ANNOTATION_(assert_capability(__VA_ARGS__))
#define CAIRN_RETURN_LOCK(lock) CAIRN_THREAD_ANNOTATION_(lock_returned(lock))
// On a function whose locking clang cannot follow; a comment there says why it is right.
#define CAIRN_NO_THREAD_SAFETY_ANALYSIS CAIRN_THREAD_ANNOTATION_(no_thread_safety_analysis)

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define CAIRN_ASAN 1
#endif
#if __has_feature(thread_sanitizer)
#define CAIRN_TSAN 1
#endif
#endif
#if !defined(CAIRN_ASAN) && defined(__SANITIZE_ADDRESS__)
#define CAIRN_ASAN 1
#endif
#if !defined(CAIRN_TSAN) && defined(__SANITIZE_THREAD__)
#define CAIRN_TSAN 1
#endif
#ifndef CAIRN_ASAN
#define CAIRN_ASAN 0
#endif
#ifndef CAIRN_TSAN
#define CAIRN_TSAN 0
#endif
