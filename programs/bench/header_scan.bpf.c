/* A request's header of up to 390 bytes scanned by a state machine: lines, names, values, blanks, digits.
 * SPDX-License-Identifier: MIT OR Apache-2.0 */
#include "bench.h"

#define SIZE 390

enum { NAME, BLANK, VALUE, CR, LF, LAST };

BENCH(header_scan, SIZE)
{
	u32 state = NAME, lines = 0, names = 0, values = 0, digits = 0, i;

	for (i = 0; i < SIZE; i++) {
		u8 c = data[i];

		if (c - '0' < 10u)
			digits++;
		switch (state) {
		case NAME:
			if (c == ':')
				state = BLANK;
			else if (c == '\r')
				state = CR;
			else
				names++;
			break;
		case BLANK:
			if (c == ' ')
				break;
			state = VALUE;
			/* fall through */
		case VALUE:
			if (c == '\r')
				state = CR;
			else
				values++;
			break;
		case CR:
			if (c != '\n')
				return TOO_SHORT;
			lines++;
			state = LF;
			break;
		case LF:
			if (c == '\r') {
				state = LAST;
			} else {
				names++;
				state = NAME;
			}
			break;
		case LAST:
			return c == '\n' ? lines << 24 ^ names << 16 ^ values << 8 ^ digits : TOO_SHORT;
		}
	}
	return TOO_SHORT;
}
