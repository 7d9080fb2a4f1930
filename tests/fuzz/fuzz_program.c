/* The whole input is a program's file: an ELF header and tables that an adversary chose, or a "#!" line. */
#include "fuzz.h"
#include "../../lib/program.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vcr_program p;
	static unsigned char code[VCR_PROGRAM_FUNCTION];
	uint64_t at;
	vcr_program_look(fuzz_file("program", data, size), &p);
	FUZZ_CHECK(p.kind <= VCR_PROGRAM_UNKNOWN && p.steps <= VCR_PROGRAM_STEPS && memchr(p.path, 0, sizeof p.path) && memchr(p.loader, 0, sizeof p.loader));
	FUZZ_CHECK(vcr_program_function(&p, "SSL_read", code, &at) <= sizeof code);
	return 0;
}
