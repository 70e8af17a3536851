// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// A program outside the repository: a list on the managed heap, summed after a collection.
#include <cairn/cairn.h>

#include <cstdio>

struct node {
  int value;
  cairn::gc_ptr<node> next;
};

int main() {
  return cairn::run([] {
    cairn::gc_ptr<node> list;
    for (int i = 1; i <= 1000; ++i) list = cairn::make_gc<node>(i, list);
    cairn::gc::collect();
    int sum = 0;
    for (node* n = list; n != nullptr; n = n->next) sum += n->value;
    std::printf("Cairn %d.%d.%d: %d\n", CAIRN_VERSION_MAJOR, CAIRN_VERSION_MINOR, CAIRN_VERSION_PATCH, sum);
  });
}
