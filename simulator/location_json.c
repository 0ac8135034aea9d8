/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "simulator/locations_api.h"

#define MEMBERS_MAX 8

enum field {
	FIELD_NAME,
	FIELD_LANGUAGE,
	FIELD_CODE,
	FIELD_TITLE,
	FIELD_PHONES,
	FIELD_CATEGORIES,
	FIELD_ADDRESS,
	FIELD_WEBSITE,
	FIELD_HOURS,
	FIELD_SPECIAL_HOURS,
	FIELD_SERVICE_AREA,
	FIELD_LABELS,
	FIELD_ADS,
	FIELD_LATLNG,
	FIELD_OPEN,
	FIELD_METADATA,
	FIELD_PROFILE,
	FIELD_RELATIONS,
	FIELD_MORE_HOURS,
	FIELD_SERVICES
};

static const struct {
	const char *name;
	bool is_repeated;
	const char *members[MEMBERS_MAX]; /* with '[': repeated, no path goes into it */
} fields[READ_MASK_FIELDS] = {
	[FIELD_NAME] = {"name", false, {0}},
	[FIELD_LANGUAGE] = {"languageCode", false, {0}},
	[FIELD_CODE] = {"storeCode", false, {0}},
	[FIELD_TITLE] = {"title", false, {0}},
	[FIELD_PHONES] = {"phoneNumbers", false, {"primaryPhone", "[additionalPhones"}},
	[FIELD_CATEGORIES] = {"categories", false, {"primaryCategory", "[additionalCategories"}},
	[FIELD_ADDRESS] = {"storefrontAddress", false,
		{"regionCode", "languageCode", "postalCode", "administrativeArea", "locality",
			"[addressLines"}},
	[FIELD_WEBSITE] = {"websiteUri", false, {0}},
	[FIELD_HOURS] = {"regularHours", false, {"[periods"}},
	[FIELD_SPECIAL_HOURS] = {"specialHours", false, {"[specialHourPeriods"}},
	[FIELD_SERVICE_AREA] = {"serviceArea", false, {"businessType", "places", "regionCode"}},
	[FIELD_LABELS] = {"labels", true, {0}},
	[FIELD_ADS] = {"adWordsLocationExtensions", false, {"adPhone"}},
	[FIELD_LATLNG] = {"latlng", false, {"latitude", "longitude"}},
	[FIELD_OPEN] = {"openInfo", false, {"status", "canReopen", "openingDate"}},
	[FIELD_METADATA] = {"metadata", false,
		{"placeId", "mapsUri", "newReviewUri", "hasVoiceOfMerchant", "canDelete",
			"hasPendingEdits", "duplicateLocation"}},
	[FIELD_PROFILE] = {"profile", false, {"description"}},
	[FIELD_RELATIONS] = {"relationshipData", false,
		{"parentLocation", "[childrenLocations", "parentChain"}},
	[FIELD_MORE_HOURS] = {"moreHours", true, {0}},
	[FIELD_SERVICES] = {"serviceItems", true, {0}},
};

/* ---- the mask ---- */

/* True when `path` (len bytes, behind the field's name and dot) names a member; sets its bit. */
static bool take_member(size_t field, const char *path, size_t len, struct read_mask *ret)
{
	const char *member;
	bool is_repeated;
	size_t name = 0;

	while (name < len && path[name] != '.')
		name++;
	for (unsigned i = 0; i < MEMBERS_MAX && fields[field].members[i]; i++) {
		member = fields[field].members[i];
		is_repeated = *member == '[';
		member += is_repeated;
		if (strlen(member) != name || memcmp(member, path, name) != 0)
			continue;
		ret->parts[field] |= UINT32_C(1) << i;
		return name == len || !is_repeated;
	}
	return false;
}

static bool take_path(const char *path, size_t len, struct read_mask *ret)
{
	size_t name;

	for (size_t i = 0; i < READ_MASK_FIELDS; i++) {
		name = strlen(fields[i].name);
		if (len < name || memcmp(path, fields[i].name, name) != 0)
			continue;
		if (len == name) {
			ret->whole[i] = true;
			return true;
		}
		if (path[name] == '.')
			return !fields[i].is_repeated &&
			       take_member(i, path + name + 1, len - name - 1, ret);
	}
	return false;
}

bool read_mask_parse(struct request *r, const char *text, struct read_mask *ret)
{
	char message[160];
	size_t len;

	if (!text || !*text) {
		answer_invalid(
			r, "read_mask", "read_mask is required: name the fields to be returned.");
		return false;
	}
	for (const char *at = text;; at += len + 1) {
		while (*at == ' ')
			at++;
		len = strcspn(at, ",");
		if (!take_path(at, len, ret)) {
			snprintf(message, sizeof(message), "Invalid field mask provided: \"%.*s\".",
				len < 80 ? (int)len : 80, at);
			answer_invalid(r, "read_mask", message);
			return false;
		}
		if (!at[len])
			return true;
	}
}

/* ---- the location ---- */

void location_store_code(uint64_t location, char ret[static 32])
{
	snprintf(ret, 32, "SHOP-%06llu", (unsigned long long)location + 1);
}

struct writer {
	const struct overlay *overlay;
	const struct world *w;
	uint64_t location;
	const struct read_mask *mask;
	struct json_out *o;
};

static bool shows(const struct writer *x, enum field field)
{
	return x->mask->whole[field] || x->mask->parts[field];
}

static bool shows_part(const struct writer *x, enum field field, unsigned member)
{
	return x->mask->whole[field] || (x->mask->parts[field] >> member & 1);
}

/* A business without a shop window: Google then sends neither address nor coordinates. */
static bool is_service_area(const struct writer *x)
{
	return x->location % 11 == 5;
}

static void open_object(const struct writer *x, enum field field)
{
	json_key(x->o, fields[field].name);
	json_open(x->o, '{');
}

static void put_phones(const struct writer *x)
{
	char phone[32];

	open_object(x, FIELD_PHONES);
	snprintf(phone, sizeof(phone), "+1 555-01%02llu", (unsigned long long)(x->location % 100));
	if (shows_part(x, FIELD_PHONES, 0))
		json_add_text(x->o, "primaryPhone", phone);
	json_close(x->o, '}');
}

static void put_categories(const struct writer *x)
{
	static const char *const names[][2] = {{"categories/gcid:cafe", "Café"},
		{"categories/gcid:book_store", "Book store"},
		{"categories/gcid:bicycle_repair_shop", "Bicycle repair shop"},
		{"categories/gcid:bakery", "Bakery"}};
	const char *const *name = names[x->location % ARRAY_LEN(names)];

	open_object(x, FIELD_CATEGORIES);
	if (shows_part(x, FIELD_CATEGORIES, 0)) {
		json_key(x->o, "primaryCategory");
		json_open(x->o, '{');
		json_add_text(x->o, "name", name[0]);
		json_add_text(x->o, "displayName", name[1]);
		json_close(x->o, '}');
	}
	json_close(x->o, '}');
}

static void put_address(const struct writer *x)
{
	static const char *const towns[][3] = {{"US", "94043", "Springfield"},
		{"DE", "10115", "Musterstadt"}, {"FR", "75001", "Villeneuve"},
		{"JP", "100-0001", "見本市"}};
	const char *const *town = towns[x->location % ARRAY_LEN(towns)];
	char title[WORLD_NAME_SIZE];

	world_location_title(x->w, x->location, title);
	open_object(x, FIELD_ADDRESS);
	if (shows_part(x, FIELD_ADDRESS, 0))
		json_add_text(x->o, "regionCode", town[0]);
	if (shows_part(x, FIELD_ADDRESS, 1))
		json_add_text(x->o, "languageCode", "en");
	if (shows_part(x, FIELD_ADDRESS, 2))
		json_add_text(x->o, "postalCode", town[1]);
	if (shows_part(x, FIELD_ADDRESS, 4))
		json_add_text(x->o, "locality", town[2]);
	if (shows_part(x, FIELD_ADDRESS, 5)) {
		json_key(x->o, "addressLines");
		json_open(x->o, '[');
		json_put_text(x->o, title + strlen("Shop "));
		json_close(x->o, ']');
	}
	json_close(x->o, '}');
}

static void put_latlng(const struct writer *x)
{
	open_object(x, FIELD_LATLNG);
	if (shows_part(x, FIELD_LATLNG, 0)) {
		json_key(x->o, "latitude");
		json_put_double(x->o,
			(double)(world_dice(x->w, 'L', x->location, 0) % 1200000) / 10000 - 60);
	}
	if (shows_part(x, FIELD_LATLNG, 1)) {
		json_key(x->o, "longitude");
		json_put_double(x->o,
			(double)(world_dice(x->w, 'L', x->location, 1) % 3600000) / 10000 - 180);
	}
	json_close(x->o, '}');
}

static void put_metadata(const struct writer *x)
{
	char id[WORLD_ID_SIZE], uri[128];

	world_location_id(x->w, x->location, id);
	open_object(x, FIELD_METADATA);
	if (shows_part(x, FIELD_METADATA, 0)) {
		snprintf(uri, sizeof(uri), "ChIJ%s", id);
		json_add_text(x->o, "placeId", uri);
	}
	if (shows_part(x, FIELD_METADATA, 1)) {
		snprintf(uri, sizeof(uri), "https://maps.example/place/%s", id);
		json_add_text(x->o, "mapsUri", uri);
	}
	if (shows_part(x, FIELD_METADATA, 2)) {
		snprintf(uri, sizeof(uri), "https://maps.example/review/%s", id);
		json_add_text(x->o, "newReviewUri", uri);
	}
	/* proto3's JSON leaves false out */
	if (shows_part(x, FIELD_METADATA, 3) &&
		overlay_state(x->overlay, x->location) == PLACE_LIVE)
		json_add_bool(x->o, "hasVoiceOfMerchant", true);
	if (shows_part(x, FIELD_METADATA, 4))
		json_add_bool(x->o, "canDelete", true);
	json_close(x->o, '}');
}

static void put_service_area(const struct writer *x)
{
	open_object(x, FIELD_SERVICE_AREA);
	if (shows_part(x, FIELD_SERVICE_AREA, 0))
		json_add_text(x->o, "businessType", "CUSTOMER_LOCATION_ONLY");
	if (shows_part(x, FIELD_SERVICE_AREA, 2))
		json_add_text(x->o, "regionCode", "US");
	json_close(x->o, '}');
}

static void put_labels(const struct writer *x)
{
	json_key(x->o, "labels");
	json_open(x->o, '[');
	json_put_text(x->o, x->location % 2 ? "south" : "north");
	json_close(x->o, ']');
}

static void put_texts(const struct writer *x)
{
	char text[WORLD_NAME_SIZE + 32];

	if (shows(x, FIELD_NAME)) {
		memcpy(text, "locations/", 11);
		world_location_id(x->w, x->location, text + 10);
		json_add_text(x->o, "name", text);
	}
	if (shows(x, FIELD_LANGUAGE))
		json_add_text(x->o, "languageCode", "en");
	if (shows(x, FIELD_CODE) && x->location % 13 != 12) {
		location_store_code(x->location, text);
		json_add_text(x->o, "storeCode", text);
	}
	if (shows(x, FIELD_TITLE)) {
		world_location_title(x->w, x->location, text);
		json_add_text(x->o, "title", text);
	}
	if (shows(x, FIELD_WEBSITE)) {
		snprintf(text, sizeof(text), "https://shop.example/%llu",
			(unsigned long long)x->location + 1);
		json_add_text(x->o, "websiteUri", text);
	}
}

void location_write(const struct overlay *overlay, uint64_t location, const struct read_mask *mask,
	struct json_out *o)
{
	struct writer x = {.overlay = overlay,
		.w = &overlay->world,
		.location = location,
		.mask = mask,
		.o = o};

	json_open(o, '{');
	put_texts(&x);
	if (shows(&x, FIELD_PHONES))
		put_phones(&x);
	if (shows(&x, FIELD_CATEGORIES))
		put_categories(&x);
	if (shows(&x, FIELD_ADDRESS) && !is_service_area(&x))
		put_address(&x);
	if (shows(&x, FIELD_LATLNG) && !is_service_area(&x))
		put_latlng(&x);
	if (shows(&x, FIELD_SERVICE_AREA) && is_service_area(&x))
		put_service_area(&x);
	if (shows(&x, FIELD_LABELS))
		put_labels(&x);
	if (shows(&x, FIELD_METADATA))
		put_metadata(&x);
	json_close(o, '}');
}
