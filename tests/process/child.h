// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A child program is a list of named scenes; its first argument says which one to play.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

namespace process {

struct scene {
  const char* name;
  int (*play)();
};

inline int play(int argc, char** argv, std::initializer_list<scene> scenes) {
  for (const scene& s : scenes)
    if (argc > 1 && std::strcmp(argv[1], s.name) == 0) return s.play();
  std::fprintf(stderr, "no such scene\n");
  return 99;
}

// Ends the child with status 1 and the line.
#define EXPECT_IN_CHILD(condition)                                                   \
  do {                                                                               \
    if (!(condition)) {                                                              \
      std::fprintf(stderr, "%s:%d: expected: %s\n", __FILE__, __LINE__, #condition); \
      std::_Exit(1);                                                                 \
    }                                                                                \
  } while (false)

}  // namespace process
