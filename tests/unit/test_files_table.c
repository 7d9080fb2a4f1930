#include "files-parts.h"
#include "tap.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t count_below(const struct vcr_table *t, const char *name)
{
	size_t n = 0;
	for (struct vcr_known *k = vcr_table_below(t, name); k; k = k->next_found) {
		ck_assert(vcr_path_below(k->path, name));
		n++;
	}
	return n;
}

static size_t count_slowly(const struct vcr_table *t, const char *name)
{
	size_t n = 0;
	for (size_t i = 0; i < t->slots; i++)
		for (const struct vcr_known *k = t->slot[i]; k; k = k->next)
			n += vcr_path_below(k->path, name);
	return n;
}

static bool is_orphan(const struct vcr_table *t, const struct vcr_known *k, char parent[40])
{
	const char *slash = strrchr(k->path, '/');
	snprintf(parent, 40, "%.*s", slash ? (int)(slash - k->path) : 0, k->path);
	return slash && !vcr_table_get(t, parent);
}

static size_t count_orphans(const struct vcr_table *t)
{
	char parent[40];
	size_t n = 0;
	for (size_t i = 0; i < t->slots; i++)
		for (const struct vcr_known *k = t->slot[i]; k; k = k->next)
			n += is_orphan(t, k, parent);
	return n;
}

static void drop(void *ctx, struct vcr_known *k)
{
	free(k);
}

/* Directories may come after what is in them, and go before. */
START_TEST(what_is_below_a_directory_is_found_whatever_came_or_went_first)
{
	static const char *const dirs[] = { "a", "a/b", "a/b/c", "d", "d/e", "ab" };
	struct vcr_table t = { 0 };
	char path[40];
	srandom((unsigned)_i + 1);
	for (int step = 0; step < 3000; step++) {
		const char *in_dir = dirs[random() % 6], *to = dirs[random() % 6];
		snprintf(path, sizeof path, random() % 4 ? "%s/f%ld" : "%s", in_dir, random() % 40);
		struct vcr_known *k = vcr_table_get(&t, path);
		if (k && random() % 2) {
			vcr_table_remove(&t, k);
			free(k);
		} else if (step % 50 || vcr_path_below(to, in_dir) || vcr_path_below(in_dir, to) || in_dir == to) {
			vcr_table_add(&t, path);
		} else {
			vcr_table_move(&t, in_dir, to, drop, NULL);
		}
		if (step % 10 == 0)
			for (int d = 0; d < 6; d++)
				ck_assert_uint_eq(count_below(&t, dirs[d]), count_slowly(&t, dirs[d]));
	}
	ck_assert_uint_eq(t.orphans, count_orphans(&t));
	for (bool more = true; more;) { /* once every directory is there */
		more = false;
		for (size_t i = 0; i < t.slots && !more; i++)
			for (const struct vcr_known *k = t.slot[i]; k && !more; k = k->next)
				if ((more = is_orphan(&t, k, path)))
					vcr_table_add(&t, path);
	}
	ck_assert_uint_eq(t.orphans, 0);
	for (int d = 0; d < 6; d++)
		ck_assert_uint_eq(count_below(&t, dirs[d]), count_slowly(&t, dirs[d]));
	ck_assert_uint_gt(count_below(&t, "a"), 0);
	vcr_table_release(&t, drop, NULL);
}
END_TEST

START_TEST(no_more_paths_are_known_than_the_table_is_to_know)
{
	struct vcr_table t = { .most = 3 };
	for (const char *const *path = (const char *const[]){ "a", "b", "c", NULL }; *path; path++)
		ck_assert_ptr_nonnull(vcr_table_add(&t, *path));
	ck_assert_ptr_null(vcr_table_add(&t, "d"));
	ck_assert_ptr_nonnull(vcr_table_add(&t, "a"));
	struct vcr_known *k = vcr_table_get(&t, "b");
	vcr_table_remove(&t, k);
	free(k);
	ck_assert_ptr_nonnull(vcr_table_add(&t, "d"));
	vcr_table_release(&t, drop, NULL);
}
END_TEST

static TCase *table(void)
{
	TCase *tc = tcase_create("table");
	tcase_add_loop_test(tc, what_is_below_a_directory_is_found_whatever_came_or_went_first, 0, 5);
	tcase_add_test(tc, no_more_paths_are_known_than_the_table_is_to_know);
	return tc;
}

TAP_MAIN("files: the table", table)
