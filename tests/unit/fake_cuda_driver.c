/* SPDX-License-Identifier: Apache-2.0
 *
 * A libcuda.so.1 as the CUDA runtime meets it where the driver is too old (FAKE_VERSION) or
 * sees no card: what the runtime asks first, and what it is told. */
enum { SUCCESS = 0, NO_DEVICE = 100 };

int cuDriverGetVersion(int *version);
int cuInit(unsigned flags);

int cuDriverGetVersion(int *version)
{
    *version = FAKE_VERSION;
    return SUCCESS;
}

int cuInit(unsigned flags)
{
    (void)flags;
    return NO_DEVICE;
}
