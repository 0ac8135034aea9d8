/* SPDX-License-Identifier: Apache-2.0 */
/* Imports played in memory: what came in of the lines, and how it ends. */
#ifndef TESTS_UNIT_API_FAKE_IMPORT_H
#define TESTS_UNIT_API_FAKE_IMPORT_H

#include "token_management/token_management_import.h"

struct fake_import {
	_Atomic int64_t n_bytes, n_pieces, n_begun, n_ended, n_freed;
	_Atomic int64_t largest_piece;
	_Atomic int64_t
		fails_behind; /* import_take raises FAULT_STORE from that many bytes on; 0: never */
};
extern struct fake_import fake_import;

#endif
