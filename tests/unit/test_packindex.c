#include "packindex.h"
#include "buf.h"
#include "tap.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/vcr-packindex-XXXXXX";

static void sh(const char *script)
{
	VCR_AUTO_BUF cmd = VCR_BUF_INIT;
	vcr_buf_printf(&cmd, "export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a; set -e; %s", script);
	ck_assert_msg(system(cmd.data) == 0, "%s", script);
}

static void setup(void)
{
	ck_assert_ptr_nonnull(mkdtemp(top));
	ck_assert_int_eq(chdir(top), 0);
	sh("git init -q .; pack() { git -c fastimport.unpackLimit=1 fast-import --quiet --date-format=now; }; head='committer a <a> now\ndata 1\nx'; "
	   "awk -v h=\"commit refs/heads/x\n$head\" 'BEGIN { print h; for (i = 1; i <= 1200; i++) printf \"M 644 inline f%d\\ndata %d\\n%d\\n\\n\", i, length(i) + 1, i }' | pack; "
	   "printf \"commit refs/heads/x\n$head\nfrom refs/heads/x^0\nM 644 inline more\ndata 5\nmore\n\n\" | pack; test $(ls .git/objects/pack/*.pack | wc -l) = 2; "
	   "git cat-file --batch-all-objects --batch-check='%(objectname)' > names");
}

static void teardown(void)
{
	ck_assert_int_eq(chdir("/"), 0);
	VCR_AUTO_BUF cmd = VCR_BUF_INIT;
	vcr_buf_printf(&cmd, "rm -rf %s", top);
	ck_assert_int_eq(system(cmd.data), 0);
}

static bool next_name(FILE *f, unsigned char oid[20])
{
	char line[64];
	if (!fgets(line, sizeof line, f))
		return false;
	for (int i = 0; i < 20; i++) {
		const char digits[3] = { line[2 * i], line[2 * i + 1], 0 };
		oid[i] = (unsigned char)strtoul(digits, NULL, 16);
	}
	return true;
}

START_TEST(every_object_of_every_pack_is_found_and_no_other)
{
	struct vcr_packindex *p = vcr_packindex_open(".git/objects/pack");
	FILE *f = fopen("names", "r");
	unsigned char oid[20];
	size_t hint = 0, n = 0;
	while (next_name(f, oid)) {
		ck_assert(vcr_packindex_has(p, oid, &hint));
		oid[19] ^= 1;
		ck_assert(!vcr_packindex_has(p, oid, &hint));
		oid[19] ^= 1;
		oid[2] ^= 0x80;
		ck_assert(!vcr_packindex_has(p, oid, &hint));
		n++;
	}
	ck_assert_uint_gt(n, 1200);
	memset(oid, 0, sizeof oid);
	ck_assert(!vcr_packindex_has(p, oid, &hint));
	memset(oid, 0xff, sizeof oid);
	ck_assert(!vcr_packindex_has(p, oid, &hint));
	fclose(f);
	vcr_packindex_free(p);
	ck_assert(!vcr_packindex_has(NULL, oid, &hint));
}
END_TEST

START_TEST(an_index_that_does_not_fit_or_has_no_pack_is_passed_over)
{
	static const char *const spoil[] = { "truncate -s -200 \"$i\"", "truncate -s 0 \"$i\"", "printf '\\377' | dd of=\"$i\" bs=1 seek=8 conv=notrunc status=none", "rm -f \"${i%idx}pack\"",
		"printf '\\001' | dd of=\"$i\" bs=1 seek=7 conv=notrunc status=none", "mv -f \"$i\" x; ln -s ../../../x \"$i\"" };
	VCR_AUTO_BUF script = VCR_BUF_INIT;
	unsigned char oid[20];
	size_t hint = 0;
	vcr_buf_printf(&script, "chmod -R u+w .git; for i in .git/objects/pack/*.idx; do %s; done", spoil[_i]);
	sh(script.data);
	struct vcr_packindex *p = vcr_packindex_open(".git/objects/pack");
	FILE *f = fopen("names", "r");
	while (next_name(f, oid))
		ck_assert(!vcr_packindex_has(p, oid, &hint));
	fclose(f);
	vcr_packindex_free(p);
	p = vcr_packindex_open("none");
	ck_assert(!vcr_packindex_has(p, oid, &hint));
	vcr_packindex_free(p);
}
END_TEST

/* Names that are not in order, or not spread evenly, are looked for within their bounds. */
START_TEST(names_that_are_not_as_a_guess_expects_end_the_search)
{
	unsigned char oid[20];
	size_t hint = 0;
	sh("chmod -R u+w .git; for i in .git/objects/pack/*.idx; do head -c 24000 /dev/zero | dd of=\"$i\" bs=1032 seek=1 conv=notrunc status=none; done");
	struct vcr_packindex *p = vcr_packindex_open(".git/objects/pack");
	FILE *f = fopen("names", "r");
	for (int i = 0; i < 500 && next_name(f, oid); i++)
		vcr_packindex_has(p, oid, &hint);
	memset(oid, 0, sizeof oid);
	ck_assert(vcr_packindex_has(p, oid, &hint));
	fclose(f);
	vcr_packindex_free(p);
}
END_TEST

static TCase *tc(void)
{
	TCase *t = tcase_create("packindex");
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, every_object_of_every_pack_is_found_and_no_other);
	tcase_add_loop_test(t, an_index_that_does_not_fit_or_has_no_pack_is_passed_over, 0, 6);
	tcase_add_test(t, names_that_are_not_as_a_guess_expects_end_the_search);
	return t;
}

TAP_MAIN("packindex", tc)
