/* The whole input is a .vcr/config. */
#include "fuzz.h"
#include "../../lib/config.h" /* not configure's */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vcr_config c;
	struct vcr_error e = { 0 };
	fuzz_file("config", data, size);
	int r = vcr_config_load(&c, fuzz_dir(), &e);
	FUZZ_CHECK(c.model_hosts && c.ignore);
	FUZZ_CHECK(!r || strstr(e.what, "/config:"));
	vcr_config_release(&c);
	return 0;
}
