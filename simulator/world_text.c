/* SPDX-License-Identifier: Apache-2.0 */
/* What the reviews say: texts that break careless readers, and otherwise ordinary ones. */
#include "simulator/world.h"

#include <stdio.h>
#include <string.h>

enum { DICE_COMMENT = 32, DICE_REPLY };

static const char *const openings[] = {
	"Friendly staff and quick service.",
	"I waited twenty minutes before anyone noticed me.",
	"Exactly what I was looking for.",
	"The shop was clean and easy to find.",
	"Prices went up again, but the quality is still good.",
	"Parking is a nightmare on weekends.",
	"They fixed my order without any fuss.",
	"The opening hours on the map are wrong.",
	"A small place with a good selection.",
	"Would come back, would not bring the whole family.",
};
static const char *const middles[] = {
	"The person at the counter took the time to explain everything.",
	"Nobody answered the telephone, so I went in myself.",
	"Everything was ready when they said it would be.",
	"The music was a bit loud.",
	"My parcel was damaged, and they replaced it the same day.",
	"I have been coming here for years.",
};
static const char *const endings[] = {
	"Recommended.",
	"Three stars for the effort.",
	"See you next week!",
	"Not again.",
	"Thank you all.",
	"It is what it is.",
};
/* Each has something that a reader may stumble over. */
static const char *const odd_ones[] = {
	"Great coffee ☕, great people 👩‍👩‍👧‍👦 👍🏽 10/10 🎉",
	"Line one\nLine two\r\nLine three\twith a tab",
	"She said \"never again\" \\ and meant it </script><b>bold</b> & 'quoted' %s %00 {{x}}",
	"Sehr schöne Läden, Größe paßt, 5 € günstiger – daß gibt’s nicht!",
	"とても良いお店でした。また来ます。サービスも最高です。",
	"خدمة ممتازة وموظفون ودودون، شكرا لكم",
	"Обслуживание на высоте, спасибо!",
	"e\xcc\x81t\xc3\xa9 — the same letter in two spellings; zero\xe2\x80\x8bwidth; "
	"\xe2\x80\xaeright to left\xe2\x80\xac",
	"'; DROP TABLE reviews; --",
	"=HYPERLINK(\"https://shop.example\",\"cell\")",
	"\xf0\x9f\x87\xaf\xf0\x9f\x87\xb5\xf0\x9f\x87\xa9\xf0\x9f\x87\xaa flags, "
	"\xf0\x9d\x94\x98\xf0\x9d\x94\xab\xf0\x9d\x94\xa6 letters beyond the first plane",
	"0",
	"null",
};

static const char *pick(const char *const *from, size_t n, uint64_t dice)
{
	return from[dice % n];
}

/* Exactly 4,096 bytes, with characters of one to four bytes throughout. */
static void write_longest(struct buf *ret)
{
	static const char pattern[] = "Long review: äöü ☃ 🛒 – ";
	size_t unit = strlen(pattern), whole = WORLD_COMMENT_MAX / unit;

	for (size_t i = 0; i < whole; i++)
		buf_add(ret, pattern, unit);
	for (size_t i = whole * unit; i < WORLD_COMMENT_MAX; i++)
		buf_add_char(ret, '.');
}

static void write_ordinary(uint64_t dice, struct buf *ret)
{
	buf_add_text(ret, pick(openings, ARRAY_LEN(openings), dice >> 8));
	if (dice >> 16 & 3) {
		buf_add_char(ret, ' ');
		buf_add_text(ret, pick(middles, ARRAY_LEN(middles), dice >> 18));
	}
	if (dice >> 24 & 1) {
		buf_add_char(ret, ' ');
		buf_add_text(ret, pick(endings, ARRAY_LEN(endings), dice >> 25));
	}
}

void world_comment(const struct world *w, uint64_t location, uint32_t index, struct buf *ret)
{
	uint64_t dice = world_dice(w, DICE_COMMENT, location, index);

	if (index % 97 == 96) {
		write_longest(ret);
	} else if (dice % 20 == 0) {
		buf_add_text(ret, "(Translated by Google) ");
		write_ordinary(dice, ret);
		buf_add_text(ret, "\n\n(Original)\n");
		buf_add_text(ret, pick(odd_ones + 3, 4, dice >> 32));
	} else if (dice % 20 < 3) {
		buf_add_text(ret, pick(odd_ones, ARRAY_LEN(odd_ones), dice >> 32));
	} else {
		write_ordinary(dice, ret);
	}
}

void world_reply_text(const struct world *w, uint64_t location, uint32_t index, struct buf *ret)
{
	static const char *const replies[] = {
		"Thank you for your visit. We look forward to seeing you again.",
		"We are sorry to hear that. Please write to us, so that we can put it right.",
		"Thanks for the kind words! 🙏",
		"Vielen Dank für Ihre Bewertung – schöne Grüße aus dem Laden.",
	};
	uint64_t dice = world_dice(w, DICE_REPLY, location, index);

	buf_add_text(ret, pick(replies, ARRAY_LEN(replies), dice));
}
