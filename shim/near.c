/* near.c — what is touched by nearly every process, beside each other. The first source of the library: the linker puts it right behind what has a value, on a page
 * that the loader writes to as it maps us. */
#include "shim.h"

struct vcr_near vcr_near;
