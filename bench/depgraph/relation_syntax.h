// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The Cairn authors
//
// The syntax of package names, versions and relationship fields (Debian policy 5.6 and 7.1), as loose as indexes in
// the wild: architecture qualifiers (perl:any) are dropped, [architecture] and <profile> restrictions are applied,
// the obsolete < and > are read as dpkg reads them, and empty places between commas are passed over.
#pragma once
#include <string>
#include <string_view>

#include "bench/depgraph/records.h"

namespace depgraph {

// What is wrong with the text, in words; empty if nothing is.
std::string name_fault(std::string_view name);
std::string version_fault(std::string_view version);

// Appends the clauses of a Depends or Pre-Depends field to the records. Returns the fault, empty if there is none.
std::string read_clauses(std::string_view field, std::string_view architecture, records& into);

// Appends the names of a Provides field likewise.
std::string read_provides(std::string_view field, std::string_view architecture, records& into);

}  // namespace depgraph
