/* A stand-in for libnvidia-ml.so.1 whose world is a text file.
 *
 * The file's path is in FAKE_NVML_STATE; it is read again at each call, so a test edits it while
 * the program runs. Its lines:
 *
 *   driver VERSION
 *   device UUID DOMAIN:BUS:DEVICE(hex) TOTAL FREE USED UTIL TEMP POWER_MW NAME...   (numbers: bytes, %, C, mW)
 *   process UUID compute|graphics PID BYTES|na
 *   error FUNCTION CODE [UUID]      the call fails so; FUNCTION may be *
 *   hang FUNCTION                   the call waits until the line is gone (60 s at most)
 *   folder PATH                     real processes hold memory as the files in there say: each is
 *                                   named PID.STARTTICKS.ANYTHING, its text is "UUID BYTES", and it
 *                                   counts as long as that very process lives
 *
 * Like the real library, it knows the cards that were there at nvmlInit; one that vanishes is lost
 * (15) until NVML is initialised again with the card back. FAKE_NVML_LOG, if set, is a file to
 * which each call's name is appended.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define MAX_DEVICES 16
#define MAX_HOLDERS 64
#define MAX_LINE 512
#define NA 0xFFFFFFFFFFFFFFFFULL

enum { OK = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
       INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15, UNKNOWN = 999 };

typedef struct {
    char uuid[96], name[96];
    unsigned domain, bus, device, util, temp, power;
    unsigned long long total, free, used;
} Device;

typedef struct { unsigned long long total, free, used; } Memory;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } MemoryV2;
typedef struct { unsigned gpu, memory; } Utilization;
typedef struct { unsigned pid; unsigned long long used; unsigned gi, ci; } ProcessInfo;
typedef struct {
    char legacy[16];
    unsigned domain, bus, device, pci_id, subsystem;
    char bus_id[32];
} PciInfo;
typedef struct { unsigned version, sensor; int temperature; } Temperature;

_Static_assert(sizeof(MemoryV2) == 40, "Memory_v2");
_Static_assert(sizeof(ProcessInfo) == 24, "ProcessInfo");
_Static_assert(sizeof(PciInfo) == 68, "PciInfo");

static int inits;
static char known[MAX_DEVICES][96]; /* the cards at nvmlInit; a handle is a place in here + 1 */
static int known_count, lost[MAX_DEVICES];

static FILE *open_state(void) {
    const char *path = getenv("FAKE_NVML_STATE");
    return path ? fopen(path, "r") : NULL;
}

static int parse_device(const char *line, Device *d) {
    memset(d, 0, sizeof *d);
    return sscanf(line, "device %95s %x:%x:%x %llu %llu %llu %u %u %u %95[^\n]", d->uuid,
                  &d->domain, &d->bus, &d->device, &d->total, &d->free, &d->used, &d->util,
                  &d->temp, &d->power, d->name) == 11;
}

typedef struct { unsigned pid; unsigned long long used; } Holder;

/* Whether the process lives that had this id and started at this tick; a zombie holds nothing. */
static int lives(unsigned pid, unsigned long long ticks) {
    char path[64], text[1024], state;
    unsigned long long started;
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    size_t size = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[size] = 0;
    char *rest = strrchr(text, ')');
    if (!rest || sscanf(rest, ") %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu",
                        &state, &started) != 2) return 0;
    return state != 'Z' && state != 'X' && started == ticks;
}

/* What living processes hold on a card, as the folder says. */
static unsigned living_holders(const char *uuid, Holder *out) {
    char line[MAX_LINE], folder[MAX_LINE] = "", path[2 * MAX_LINE], who[96];
    unsigned count = 0, pid;
    unsigned long long ticks, size;
    FILE *f = open_state();
    while (f && fgets(line, sizeof line, f)) sscanf(line, "folder %511[^\n]", folder);
    if (f) fclose(f);
    DIR *d = folder[0] ? opendir(folder) : NULL;
    for (struct dirent *e; d && (e = readdir(d));) {
        if (sscanf(e->d_name, "%u.%llu.", &pid, &ticks) != 2 || !lives(pid, ticks)) continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        f = fopen(path, "r");
        int read = f ? fscanf(f, "%95s %llu", who, &size) : 0;
        if (f) fclose(f);
        if (read != 2 || strcmp(who, uuid)) continue;
        unsigned i = 0;
        while (i < count && out[i].pid != pid) i++;
        if (i == MAX_HOLDERS) break;
        if (i == count) out[count++] = (Holder){pid, 0};
        out[i].used += size;
    }
    if (d) closedir(d);
    return count;
}

static int find_device(const char *uuid, Device *d) {
    char line[MAX_LINE];
    Holder holders[MAX_HOLDERS];
    FILE *f = open_state();
    int found = 0;
    while (f && !found && fgets(line, sizeof line, f))
        found = parse_device(line, d) && !strcmp(d->uuid, uuid);
    if (f) fclose(f);
    unsigned count = found ? living_holders(uuid, holders) : 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned long long taken = holders[i].used < d->free ? holders[i].used : d->free;
        d->free -= taken;
        d->used += taken;
    }
    return found;
}

/* Whether the state names `function` in a line of `kind`; for errors also the code. */
static int told(const char *kind, const char *function, const char *uuid, int *code) {
    char line[MAX_LINE], word[32], name[128], who[96];
    FILE *f = open_state();
    int found = 0;
    while (f && !found && fgets(line, sizeof line, f)) {
        int value = 0;
        who[0] = 0;
        int fields = sscanf(line, "%31s %127s %d %95s", word, name, &value, who);
        if (fields < 2 || strcmp(word, kind)) continue;
        if (strcmp(name, "*") && strcmp(name, function)) continue;
        if (who[0] && (!uuid || strcmp(who, uuid))) continue;
        *code = value;
        found = 1;
    }
    if (f) fclose(f);
    return found;
}

static void log_call(const char *function) {
    const char *path = getenv("FAKE_NVML_LOG");
    FILE *f = path ? fopen(path, "a") : NULL;
    if (!f) return;
    fprintf(f, "%s\n", function);
    fclose(f);
}

static int enter(const char *function, const char *uuid) {
    int code = OK;
    log_call(function);
    for (int waits = 0; waits < 6000 && told("hang", function, NULL, &code); waits++) usleep(10000);
    if (told("error", function, uuid, &code)) return code;
    return OK;
}

/* The first lines of every call about one card. */
static int enter_device(const char *function, void *handle, Device *d) {
    long slot = (long)handle - 1;
    if (!inits) return UNINITIALIZED;
    if (slot < 0 || slot >= known_count) return INVALID_ARGUMENT;
    int code = enter(function, known[slot]);
    if (code) return code;
    if (!find_device(known[slot], d)) lost[slot] = 1;
    return lost[slot] ? GPU_IS_LOST : OK;
}

#define ON_DEVICE(function)                               \
    Device d;                                             \
    int code = enter_device(function, handle, &d);        \
    if (code) return code

EXPORT int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    int code = enter("nvmlInitWithFlags", NULL);
    if (code) return code;
    if (inits++) return OK;
    char line[MAX_LINE];
    Device d;
    FILE *f = open_state();
    if (!f) { inits = 0; return 9; /* driver not loaded */ }
    known_count = 0;
    memset(lost, 0, sizeof lost);
    while (fgets(line, sizeof line, f))
        if (known_count < MAX_DEVICES && parse_device(line, &d)) strcpy(known[known_count++], d.uuid);
    fclose(f);
    return OK;
}
EXPORT int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
EXPORT int nvmlInit(void) { return nvmlInitWithFlags(0); }

EXPORT int nvmlShutdown(void) {
    int code = enter("nvmlShutdown", NULL);
    if (code) return code;
    if (!inits) return UNINITIALIZED;
    inits--;
    return OK;
}

EXPORT const char *nvmlErrorString(int code) {
    switch (code) {
        case OK: return "Success";
        case GPU_IS_LOST: return "GPU is lost";
        default: return "Fake error";
    }
}

EXPORT int nvmlSystemGetDriverVersion(char *out, unsigned size) {
    char line[MAX_LINE], version[64] = "560.94";
    int code = inits ? enter("nvmlSystemGetDriverVersion", NULL) : UNINITIALIZED;
    if (code) return code;
    FILE *f = open_state();
    while (f && fgets(line, sizeof line, f)) sscanf(line, "driver %63s", version);
    if (f) fclose(f);
    snprintf(out, size, "%s", version);
    return OK;
}

EXPORT int nvmlSystemGetCudaDriverVersion(int *version) {
    *version = 13000;
    return inits ? enter("nvmlSystemGetCudaDriverVersion", NULL) : UNINITIALIZED;
}
EXPORT int nvmlSystemGetCudaDriverVersion_v2(int *v) { return nvmlSystemGetCudaDriverVersion(v); }

EXPORT int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = (unsigned)known_count;
    return inits ? enter("nvmlDeviceGetCount_v2", NULL) : UNINITIALIZED;
}
EXPORT int nvmlDeviceGetCount(unsigned *count) { return nvmlDeviceGetCount_v2(count); }

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    Device d;
    if (index >= (unsigned)known_count) return INVALID_ARGUMENT;
    *handle = (void *)(long)(index + 1);
    return enter_device("nvmlDeviceGetHandleByIndex_v2", *handle, &d);
}
EXPORT int nvmlDeviceGetHandleByIndex(unsigned i, void **h) { return nvmlDeviceGetHandleByIndex_v2(i, h); }

EXPORT int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    int code = inits ? enter("nvmlDeviceGetHandleByUUID", uuid) : UNINITIALIZED;
    if (code) return code;
    for (int slot = 0; slot < known_count; slot++)
        if (!strcmp(known[slot], uuid)) { *handle = (void *)(long)(slot + 1); return OK; }
    return NOT_FOUND;
}

EXPORT int nvmlDeviceGetUUID(void *handle, char *out, unsigned size) {
    ON_DEVICE("nvmlDeviceGetUUID");
    snprintf(out, size, "%s", d.uuid);
    return OK;
}

EXPORT int nvmlDeviceGetName(void *handle, char *out, unsigned size) {
    ON_DEVICE("nvmlDeviceGetName");
    snprintf(out, size, "%s", d.name);
    return OK;
}

/* All cards are of one generation, that of the seed's: Ada. */
EXPORT int nvmlDeviceGetCudaComputeCapability(void *handle, int *major, int *minor) {
    ON_DEVICE("nvmlDeviceGetCudaComputeCapability");
    (void)d;
    *major = 8;
    *minor = 9;
    return OK;
}

EXPORT int nvmlDeviceGetIndex(void *handle, unsigned *index) {
    ON_DEVICE("nvmlDeviceGetIndex");
    *index = (unsigned)((long)handle - 1);
    return OK;
}

EXPORT int nvmlDeviceGetPciInfo_v3(void *handle, PciInfo *pci) {
    ON_DEVICE("nvmlDeviceGetPciInfo_v3");
    memset(pci, 0, sizeof *pci);
    pci->domain = d.domain;
    pci->bus = d.bus;
    pci->device = d.device;
    snprintf(pci->legacy, sizeof pci->legacy, "%04X:%02X:%02X.0", d.domain & 0xFFFF, d.bus & 0xFF, d.device & 0xFF);
    snprintf(pci->bus_id, sizeof pci->bus_id, "%08X:%02X:%02X.0", d.domain, d.bus & 0xFF, d.device & 0xFF);
    return OK;
}

EXPORT int nvmlDeviceGetMemoryInfo(void *handle, Memory *m) {
    ON_DEVICE("nvmlDeviceGetMemoryInfo");
    m->total = d.total;
    m->free = d.free;
    m->used = d.used;
    return OK;
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(void *handle, MemoryV2 *m) {
    if (m->version != 0x02000028) return INVALID_ARGUMENT;
    ON_DEVICE("nvmlDeviceGetMemoryInfo_v2");
    m->total = d.total;
    m->free = d.free;
    m->used = d.used;
    m->reserved = d.total - d.free - d.used;
    return OK;
}

EXPORT int nvmlDeviceGetUtilizationRates(void *handle, Utilization *u) {
    ON_DEVICE("nvmlDeviceGetUtilizationRates");
    u->gpu = d.util;
    u->memory = 0;
    return OK;
}

EXPORT int nvmlDeviceGetTemperature(void *handle, unsigned sensor, unsigned *temp) {
    (void)sensor;
    ON_DEVICE("nvmlDeviceGetTemperature");
    *temp = d.temp;
    return OK;
}

EXPORT int nvmlDeviceGetTemperatureV(void *handle, Temperature *t) {
    if (t->version != 0x100000C) return INVALID_ARGUMENT;
    ON_DEVICE("nvmlDeviceGetTemperatureV");
    t->temperature = (int)d.temp;
    return OK;
}

EXPORT int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
    ON_DEVICE("nvmlDeviceGetPowerUsage");
    *milliwatts = d.power;
    return OK;
}

static int list_processes(const char *uuid, const char *kind, unsigned *count, ProcessInfo *out) {
    char line[MAX_LINE], who[96], what[16], size[32];
    unsigned pid, found = 0, room = out ? *count : 0;
    FILE *f = open_state();
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "process %95s %15s %u %31s", who, what, &pid, size) != 4) continue;
        if (strcmp(who, uuid) || strcmp(what, kind)) continue;
        if (found < room) {
            unsigned long long used = strcmp(size, "na") ? strtoull(size, NULL, 10) : NA;
            out[found] = (ProcessInfo){pid, used, 0xFFFFFFFF, 0xFFFFFFFF};
        }
        found++;
    }
    if (f) fclose(f);
    Holder holders[MAX_HOLDERS];
    unsigned living = strcmp(kind, "compute") ? 0 : living_holders(uuid, holders);
    for (unsigned i = 0; i < living; i++, found++)
        if (found < room) out[found] = (ProcessInfo){holders[i].pid, holders[i].used, 0xFFFFFFFF, 0xFFFFFFFF};
    *count = found;
    return found > room ? INSUFFICIENT_SIZE : OK;
}

#define PROCESSES(name, kind)                                            \
    EXPORT int name(void *handle, unsigned *count, ProcessInfo *out) {   \
        ON_DEVICE(#name);                                                \
        return list_processes(d.uuid, kind, count, out);                 \
    }
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v2, "compute")
PROCESSES(nvmlDeviceGetComputeRunningProcesses_v3, "compute")
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v2, "graphics")
PROCESSES(nvmlDeviceGetGraphicsRunningProcesses_v3, "graphics")
