#include "program.h"
#include "tap.h"
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/vcr-program.XXXXXX";

static const char *file(const char *name, const void *p, size_t n)
{
	static char path[200];
	snprintf(path, sizeof path, "%s/%s", dir, name);
	unlink(path);
	int fd = open(path, O_CREAT | O_WRONLY, 0755);
	ck_assert(fd >= 0 && write(fd, p, n) == (ssize_t)n && !close(fd));
	return path;
}

START_TEST(a_program_of_this_system_takes_the_library)
{
	struct vcr_program p;
	char path[VCR_PROGRAM_PATH];
	ck_assert(vcr_program_find("sh", NULL, path));
	vcr_program_look(path, &p);
	ck_assert_int_eq(p.kind, VCR_PROGRAM_TAKES);
	ck_assert_int_eq(p.bits, 64);
	ck_assert_int_eq(p.tls, VCR_TLS_LOADED);
	ck_assert_str_ne(p.loader, "");
}
END_TEST

START_TEST(a_chain_of_scripts_is_followed_and_told)
{
	struct vcr_program p;
	char first[300], second[600];
	char shell[] = "#! /bin/sh -e\n";
	snprintf(first, sizeof first, "%s", file("one", shell, sizeof shell - 1));
	snprintf(second, sizeof second, "#!%s x  \r\n", first);
	vcr_program_look(file("two", second, strlen(second)), &p);
	ck_assert_int_eq(p.kind, VCR_PROGRAM_TAKES);
	ck_assert_int_eq(p.steps, 2);
	ck_assert_str_eq(p.words[1], "/bin/sh -e");
	ck_assert_str_eq(p.path, "/bin/sh");
	snprintf(second, sizeof second, "#!%s/loop\n", dir);
	vcr_program_look(file("loop", second, strlen(second)), &p);
	ck_assert_int_eq(p.kind, VCR_PROGRAM_UNKNOWN);
}
END_TEST

START_TEST(what_is_no_program_or_not_there_is_unknown)
{
	struct vcr_program p;
	char path[VCR_PROGRAM_PATH];
	vcr_program_look("/nonexistent/program", &p);
	ck_assert_int_eq(p.kind, VCR_PROGRAM_UNKNOWN);
	vcr_program_look(dir, &p);
	ck_assert_int_eq(p.kind, VCR_PROGRAM_UNKNOWN);
	vcr_program_look(file("text", "hello\n", 6), &p);
	ck_assert_int_eq(p.kind, VCR_PROGRAM_UNKNOWN);
	ck_assert(!vcr_program_find("nonexistent-program", NULL, path));
	ck_assert(!vcr_program_find("", NULL, path));
	ck_assert(!vcr_program_find(dir, NULL, path));
}
END_TEST

/* An ELF file whose every field an adversary chose: from a real one, each 8-byte word in turn is changed, and it is cut at each length. */
START_TEST(a_hostile_file_costs_a_wrong_answer_at_most)
{
	static unsigned char text[8192], changed[8192];
	static unsigned char code[VCR_PROGRAM_FUNCTION];
	static const uint64_t values[] = { 0, ~0ull, 1ull << 63, 0x7fffffffffffffff, 4096, 0xffffffff };
	struct vcr_program p;
	uint64_t at;
	int fd = open("/proc/self/exe", O_RDONLY);
	ck_assert(read(fd, text, sizeof text) == sizeof text);
	close(fd);
	for (size_t i = 16; i < 1200; i += 8) {
		memcpy(changed, text, sizeof text);
		memcpy(changed + i, &values[i / 8 % 6], 8);
		vcr_program_look(file("hostile", changed, sizeof changed), &p);
		vcr_program_function(&p, "SSL_read", code, &at);
	}
	for (size_t n = 0; n < 1200; n += 7)
		vcr_program_look(file("cut", text, n), &p);
}
END_TEST

START_TEST(the_word_of_each_kind_is_its_own)
{
	for (int i = 0; i <= VCR_PROGRAM_UNKNOWN; i++)
		for (int k = 0; k < i; k++)
			ck_assert_str_ne(vcr_program_kind_word((enum vcr_program_kind)i), vcr_program_kind_word((enum vcr_program_kind)k));
}
END_TEST

START_TEST(other_machines_word_sizes_and_identities_are_told)
{
	static unsigned char text[4096];
	struct vcr_program p;
	int fd = open("/bin/sh", O_RDONLY);
	ck_assert(read(fd, text, sizeof text) == sizeof text);
	close(fd);
	((Elf64_Ehdr *)(void *)text)->e_machine = EM_S390;
	vcr_program_look(file("other", text, sizeof text), &p);
	ck_assert_int_eq(p.kind, VCR_PROGRAM_FOREIGN);
	text[EI_CLASS] = ELFCLASS32;
	vcr_program_look(file("narrow", text, sizeof text), &p);
	ck_assert_int_eq(p.kind, VCR_PROGRAM_FOREIGN);
	ck_assert_int_eq(p.bits, 32);
	const char *path = file("setgid", "#!/bin/sh\n", 10);
	if (geteuid() || chown(path, 0, 1) || chmod(path, 02755))
		return;
	vcr_program_look(path, &p);
	ck_assert_int_eq(p.kind, VCR_PROGRAM_SETID);
}
END_TEST

static void remove_all(void)
{
	char command[100];
	snprintf(command, sizeof command, "rm -rf %s", dir);
	ck_assert(!system(command));
}

static void make_dir(void)
{
	strcpy(dir + strlen(dir) - 6, "XXXXXX");
	ck_assert(mkdtemp(dir) != NULL);
}

static TCase *program(void)
{
	TCase *tc = tcase_create("program");
	tcase_add_checked_fixture(tc, make_dir, remove_all);
	tcase_add_test(tc, a_program_of_this_system_takes_the_library);
	tcase_add_test(tc, a_chain_of_scripts_is_followed_and_told);
	tcase_add_test(tc, what_is_no_program_or_not_there_is_unknown);
	tcase_add_test(tc, a_hostile_file_costs_a_wrong_answer_at_most);
	tcase_add_test(tc, the_word_of_each_kind_is_its_own);
	tcase_add_test(tc, other_machines_word_sizes_and_identities_are_told);
	return tc;
}

TAP_MAIN("program", program)
