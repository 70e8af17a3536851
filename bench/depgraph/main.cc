// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// depgraph: a Debian package index as a graph of collected objects, queried while it changes. See README.md.
#include "bench/depgraph/launch.h"

int main(int count, char** values) { return depgraph::depgraph_main({values + 1, values + count}); }
