// Over 500 lines because it is the one file that knows libhdf5.
#include "core/files/hdf5.h"
#include "core/files/fs.h"

#include <fcntl.h>
#include <hdf5.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_SIZE = 128, DEFLATE_FILTER = H5Z_FILTER_DEFLATE };

struct hdf5 {
    hid_t file;
    int fd;       // for raw bytes; -1 while writing
    int64_t size; // of the file when it was opened
    char *path;
};

static pthread_mutex_t library = PTHREAD_MUTEX_INITIALIZER;

static void library_lock(void) {
    static bool ready;
    pthread_mutex_lock(&library);
    if (ready) return;
    // Its own clearing up at exit crashes over a file that a full disk did not let it close. All files are
    // closed by then.
    H5dont_atexit();
    H5open();
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL); // its own printing; the first message goes into our text
    ready = true;
}

static void library_unlock(void) {
    H5Eclear2(H5E_DEFAULT);
    pthread_mutex_unlock(&library);
}

// The innermost message; of one that quotes the system's, that alone.
static herr_t first_message(unsigned n, const H5E_error2_t *error, void *text) {
    static const char mark[] = "error message = '";
    if (n || !error->desc) return 0;
    const char *system = strstr(error->desc, mark);
    if (system)
        snprintf(text, 256, ": %.*s", (int)strcspn(system + sizeof mark - 1, "'"),
                 system + sizeof mark - 1);
    else
        snprintf(text, 256, ": %s", error->desc);
    return 0;
}

// What the library just refused; the lock is held.
static status refused(const hdf5 *f, const char *name, const char *action) {
    char text[256] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_message, text);
    return status_fail(f->fd < 0 ? STATUS_IO : STATUS_FORMAT, "%s: cannot %s%s%s%s", f->path, action,
                       name ? " " : "", name ? name : "", text);
}

static status damaged(const hdf5 *f, const char *name, const char *what) {
    return status_fail(STATUS_FORMAT, "%s: %s: %s", f->path, name, what);
}

static hid_t file_type(dtype type) {
    switch (type) {
    case DTYPE_F32: return H5T_IEEE_F32LE;
    case DTYPE_F64: return H5T_IEEE_F64LE;
    case DTYPE_I64: return H5T_STD_I64LE;
    case DTYPE_I32: return H5T_STD_I32LE;
    case DTYPE_I8: return H5T_STD_I8LE;
    case DTYPE_U8: return H5T_STD_U8LE;
    default: die("hdf5: type %s is not written to files", dtype_name(type));
    }
}

// --- opening and closing -------------------------------------------------------------------------

static status handle_make(hdf5 **out, const char *path) {
    hdf5 *f;
    *out = NULL;
    status rc = mem_new(&f, 1, "an HDF5 file");
    if (rc) return rc;
    f->file = -1;
    f->fd = -1;
    rc = mem_string(&f->path, path);
    if (rc)
        mem_free(f);
    else
        *out = f;
    return rc;
}

static status open_descriptor(hdf5 *f) {
    struct stat info;
    f->fd = open(f->path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0 || fstat(f->fd, &info))
        return file_failure(f->path, "open");
    if (!S_ISREG(info.st_mode))
        return status_fail(STATUS_IO, "%s: is not a regular file", f->path);
    f->size = info.st_size;
    return STATUS_OK;
}

// Properties of access: no lock files (shared folders often have none), one format for all.
static hid_t access_properties(void) {
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_file_locking(access, 0, 1);
    H5Pset_libver_bounds(access, H5F_LIBVER_V18, H5F_LIBVER_V18);
    return access;
}

status hdf5_open(hdf5 **out, const char *path) {
    hdf5 *f = NULL;
    *out = NULL;
    status rc = handle_make(&f, path);
    if (!rc) rc = open_descriptor(f);
    if (!rc) {
        library_lock();
        hid_t access = access_properties();
        f->file = H5Fopen(path, H5F_ACC_RDONLY, access);
        H5Pclose(access);
        if (f->file < 0) rc = refused(f, NULL, "read it as an HDF5 file");
        library_unlock();
    }
    if (rc)
        hdf5_close(f);
    else
        *out = f;
    return rc;
}

status hdf5_create(hdf5 **out, const char *path) {
    hdf5 *f = NULL;
    *out = NULL;
    status rc = handle_make(&f, path);
    if (rc) return rc;
    library_lock();
    hid_t access = access_properties(), creation = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_obj_track_times(creation, 0);
    f->file = H5Fcreate(path, H5F_ACC_TRUNC, creation, access);
    if (f->file < 0) rc = refused(f, NULL, "create it");
    H5Pclose(creation);
    H5Pclose(access);
    library_unlock();
    if (rc)
        hdf5_close(f);
    else
        *out = f;
    return rc;
}

status hdf5_finish(hdf5 *f) {
    library_lock();
    status rc = H5Fclose(f->file) < 0 ? refused(f, NULL, "write it out") : STATUS_OK;
    f->file = -1;
    library_unlock();
    return rc ? rc : file_sync(f->path);
}

void hdf5_close(hdf5 *f) {
    if (!f) return;
    if (f->file >= 0) {
        library_lock();
        H5Fclose(f->file);
        library_unlock();
    }
    if (f->fd >= 0) close(f->fd);
    mem_free(f->path);
    mem_free(f);
}

const char *hdf5_path(const hdf5 *f) {
    return f->path;
}

// --- writing -------------------------------------------------------------------------------------

status hdf5_make_group(hdf5 *f, const char *name) {
    status rc = STATUS_OK;
    library_lock();
    hid_t creation = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_obj_track_times(creation, 0);
    hid_t group = H5Gcreate2(f->file, name, H5P_DEFAULT, creation, H5P_DEFAULT);
    if (group < 0 || H5Gclose(group) < 0) rc = refused(f, name, "make the group");
    H5Pclose(creation);
    library_unlock();
    return rc;
}

static void take_sizes(hsize_t out[HDF5_MAX_RANK], const char *name, int rank, const int64_t *dim) {
    if (rank < 1 || rank > HDF5_MAX_RANK) die("hdf5: %s has rank %d", name, rank);
    for (int i = 0; i < rank; i++) {
        if (dim[i] < 0) die("hdf5: %s has a size of %lld", name, (long long)dim[i]);
        out[i] = (hsize_t)dim[i];
    }
}

// Makes the dataset and writes DATA unless it is NULL; the lock is held.
static status make_dataset(hdf5 *f, const char *name, hid_t type, int rank, const hsize_t *size,
                           hid_t properties, const void *data) {
    hid_t space = H5Screate_simple(rank, size, NULL);
    H5Pset_obj_track_times(properties, 0);
    hid_t set = H5Dcreate2(f->file, name, type, space, H5P_DEFAULT, properties, H5P_DEFAULT);
    herr_t bad = set < 0 ? -1 : 0;
    if (!bad && data) bad = H5Dwrite(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data);
    status rc = bad < 0 ? refused(f, name, "write the dataset") : STATUS_OK;
    if (set >= 0 && H5Dclose(set) < 0 && !rc) rc = refused(f, name, "write the dataset");
    H5Sclose(space);
    return rc;
}

status hdf5_write(hdf5 *f, const char *name, dtype type, int rank, const int64_t *dim,
                  const void *data) {
    hsize_t size[HDF5_MAX_RANK];
    take_sizes(size, name, rank, dim);
    library_lock();
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    status rc = make_dataset(f, name, file_type(type), rank, size, properties, data);
    H5Pclose(properties);
    library_unlock();
    return rc;
}

status hdf5_make(hdf5 *f, const char *name, dtype type, int rank, const int64_t *dim) {
    hsize_t size[HDF5_MAX_RANK];
    take_sizes(size, name, rank, dim);
    library_lock();
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_alloc_time(properties, H5D_ALLOC_TIME_EARLY);
    H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
    status rc = make_dataset(f, name, file_type(type), rank, size, properties, NULL);
    H5Pclose(properties);
    library_unlock();
    return rc;
}

status hdf5_write_rows(hdf5 *f, const char *name, int64_t begin, int64_t count, const void *data) {
    hsize_t start[HDF5_MAX_RANK] = {0}, size[HDF5_MAX_RANK] = {0};
    hid_t type = -1, space = -1, piece = -1;
    library_lock();
    hid_t set = H5Dopen2(f->file, name, H5P_DEFAULT);
    int bad = set < 0;
    if (!bad) {
        type = H5Dget_type(set);
        space = H5Dget_space(set);
        int rank = H5Sget_simple_extent_dims(space, size, NULL);
        start[0] = (hsize_t)begin;
        size[0] = (hsize_t)count;
        piece = H5Screate_simple(rank, size, NULL);
        bad = H5Sselect_hyperslab(space, H5S_SELECT_SET, start, NULL, size, NULL) < 0 ||
              H5Dwrite(set, type, piece, space, H5P_DEFAULT, data) < 0;
    }
    status rc = bad ? refused(f, name, "write rows of") : STATUS_OK;
    if (piece >= 0) H5Sclose(piece);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (set >= 0) H5Dclose(set);
    library_unlock();
    return rc;
}

static hid_t string_type(size_t length) {
    hid_t type = H5Tcopy(H5T_C_S1);
    H5Tset_size(type, length ? length : 1);
    H5Tset_cset(type, H5T_CSET_UTF8);
    H5Tset_strpad(type, H5T_STR_NULLPAD);
    return type;
}

status hdf5_write_strings(hdf5 *f, const char *name, const char *const *text, int64_t count) {
    char *padded;
    size_t longest = 1;
    for (int64_t i = 0; i < count; i++)
        if (strlen(text[i]) > longest) longest = strlen(text[i]);
    status rc = mem_take((void **)&padded, (size_t)count, longest, "strings");
    if (rc) return rc;
    for (int64_t i = 0; i < count; i++)
        memcpy(padded + (size_t)i * longest, text[i], strlen(text[i]));
    hsize_t size = (hsize_t)count;
    library_lock();
    hid_t type = string_type(longest), properties = H5Pcreate(H5P_DATASET_CREATE);
    rc = make_dataset(f, name, type, 1, &size, properties, padded);
    H5Pclose(properties);
    H5Tclose(type);
    library_unlock();
    mem_free(padded);
    return rc;
}

status hdf5_make_records(hdf5 *f, const char *name, dtype type, int rank, const int64_t *dim,
                         int deflate) {
    hsize_t size[HDF5_MAX_RANK], chunk[HDF5_MAX_RANK];
    take_sizes(size, name, rank, dim);
    memcpy(chunk, size, sizeof chunk);
    chunk[0] = 1;
    library_lock();
    hid_t properties = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_chunk(properties, rank, chunk);
    if (deflate) H5Pset_deflate(properties, (unsigned)deflate);
    // Nothing is filled in: every record that stays is written.
    H5Pset_fill_time(properties, H5D_FILL_TIME_NEVER);
    H5Pset_alloc_time(properties, H5D_ALLOC_TIME_INCR);
    status rc = make_dataset(f, name, file_type(type), rank, size, properties, NULL);
    H5Pclose(properties);
    library_unlock();
    return rc;
}

status hdf5_write_record(hdf5 *f, const char *name, int64_t record, const void *bytes, size_t size) {
    hsize_t start[HDF5_MAX_RANK] = {(hsize_t)record}, most[HDF5_MAX_RANK] = {0};
    library_lock();
    hid_t set = H5Dopen2(f->file, name, H5P_DEFAULT);
    hid_t space = set < 0 ? -1 : H5Dget_space(set);
    int bad = space < 0;
    // The library itself writes chunks beyond the dataset.
    if (!bad) bad = H5Sget_simple_extent_dims(space, most, NULL) < 1 || start[0] >= most[0];
    if (!bad) bad = H5Dwrite_chunk(set, H5P_DEFAULT, 0, start, size, bytes) < 0;
    status rc = bad ? refused(f, name, "write a record of") : STATUS_OK; // the next call forgets why
    if (space >= 0) H5Sclose(space);
    if (set >= 0 && H5Dclose(set) < 0 && !rc) rc = refused(f, name, "write a record of");
    library_unlock();
    return rc;
}

status hdf5_end_records(hdf5 *f, const char *name, int64_t count) {
    hsize_t size[HDF5_MAX_RANK] = {0};
    library_lock();
    hid_t set = H5Dopen2(f->file, name, H5P_DEFAULT), space = -1;
    int bad = set < 0;
    if (!bad) {
        space = H5Dget_space(set);
        H5Sget_simple_extent_dims(space, size, NULL);
        size[0] = (hsize_t)count;
        bad = H5Dset_extent(set, size) < 0;
    }
    status rc = bad ? refused(f, name, "end the records of") : STATUS_OK;
    if (space >= 0) H5Sclose(space);
    if (set >= 0) H5Dclose(set);
    library_unlock();
    return rc;
}

// --- attributes ----------------------------------------------------------------------------------

static status write_attribute(hdf5 *f, const char *name, hid_t type, const void *value) {
    hid_t space = H5Screate(H5S_SCALAR);
    hid_t attribute = H5Acreate2(f->file, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    int bad = attribute < 0 || H5Awrite(attribute, type, value) < 0;
    if (attribute >= 0 && H5Aclose(attribute) < 0) bad = 1;
    status rc = bad ? refused(f, name, "write the attribute") : STATUS_OK;
    H5Sclose(space);
    return rc;
}

status hdf5_write_int(hdf5 *f, const char *name, int64_t value) {
    library_lock();
    status rc = write_attribute(f, name, H5T_STD_I64LE, &value);
    library_unlock();
    return rc;
}

status hdf5_write_text(hdf5 *f, const char *name, const char *value) {
    library_lock();
    hid_t type = string_type(strlen(value));
    status rc = write_attribute(f, name, type, value);
    H5Tclose(type);
    library_unlock();
    return rc;
}

// Opens a scalar attribute; the lock is held.
static status open_attribute(hid_t *attribute, hid_t *type, hdf5 *f, const char *name) {
    *attribute = *type = -1;
    *attribute = H5Aopen(f->file, name, H5P_DEFAULT);
    if (*attribute < 0) return refused(f, name, "read the attribute");
    hid_t space = H5Aget_space(*attribute);
    hssize_t count = space < 0 ? -1 : H5Sget_simple_extent_npoints(space);
    if (space >= 0) H5Sclose(space);
    *type = H5Aget_type(*attribute);
    if (count != 1 || *type < 0) return damaged(f, name, "the attribute is not one value");
    return STATUS_OK;
}

static void close_attribute(hid_t attribute, hid_t type) {
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
}

status hdf5_read_int(int64_t *out, hdf5 *f, const char *name) {
    hid_t attribute, type;
    *out = 0;
    library_lock();
    status rc = open_attribute(&attribute, &type, f, name);
    if (!rc && H5Tequal(type, H5T_STD_I64LE) <= 0)
        rc = damaged(f, name, "the attribute is not a 64-bit integer");
    if (!rc && H5Aread(attribute, type, out) < 0) rc = refused(f, name, "read the attribute");
    close_attribute(attribute, type);
    library_unlock();
    return rc;
}

status hdf5_read_text(char *out, hdf5 *f, const char *name, size_t size) {
    hid_t attribute, type;
    memset(out, 0, size);
    library_lock();
    status rc = open_attribute(&attribute, &type, f, name);
    if (!rc && (H5Tget_class(type) != H5T_STRING || H5Tis_variable_str(type) != 0 ||
                H5Tget_size(type) >= size))
        rc = damaged(f, name, "the attribute is not a short text");
    if (!rc && H5Aread(attribute, type, out) < 0) rc = refused(f, name, "read the attribute");
    close_attribute(attribute, type);
    library_unlock();
    return rc;
}

// --- reading -------------------------------------------------------------------------------------

// Links to other places could lead to other files. The lock is held.
static status check_links(hdf5 *f, const char *name) {
    char part[NAME_SIZE];
    if (strlen(name) >= sizeof part) die("hdf5: name %s is too long", name);
    for (const char *end = name;; end++) {
        if (*end && *end != '/') continue;
        memcpy(part, name, (size_t)(end - name));
        part[end - name] = 0;
        H5L_info_t info;
        if (H5Lget_info(f->file, part, &info, H5P_DEFAULT) < 0) return refused(f, part, "find");
        if (info.type != H5L_TYPE_HARD) return damaged(f, part, "is a link, which is refused");
        if (!*end) return STATUS_OK;
    }
}

static dtype type_of(hid_t set) {
    hid_t type = H5Dget_type(set);
    dtype found = DTYPE_COUNT;
    static const dtype known[] = {DTYPE_F32, DTYPE_F64, DTYPE_I64, DTYPE_I32, DTYPE_I8, DTYPE_U8};
    for (size_t i = 0; type >= 0 && i < sizeof known / sizeof *known; i++)
        if (H5Tequal(type, file_type(known[i])) > 0) found = known[i];
    if (type >= 0) H5Tclose(type);
    return found;
}

static status look_at_sizes(hdf5_shape *out, hdf5 *f, const char *name, hid_t set) {
    hsize_t size[HDF5_MAX_RANK];
    hid_t space = H5Dget_space(set);
    bool simple = space >= 0 && H5Sget_simple_extent_type(space) == H5S_SIMPLE;
    int rank = simple ? H5Sget_simple_extent_ndims(space) : -1;
    bool fits = rank >= 1 && rank <= HDF5_MAX_RANK;
    if (fits) fits = H5Sget_simple_extent_dims(space, size, NULL) == rank;
    if (space >= 0) H5Sclose(space);
    if (!fits) return damaged(f, name, "has a number of dimensions that is not supported");
    out->rank = rank;
    out->bytes = dtype_size(out->type);
    for (int i = 0; i < rank; i++) {
        if (size[i] > INT64_MAX || !size_multiply(out->bytes, (size_t)size[i], &out->bytes))
            return damaged(f, name, "is larger than can be");
        out->dim[i] = (int64_t)size[i];
    }
    return STATUS_OK;
}

static status look_at_place(hdf5_shape *out, hdf5 *f, const char *name, hid_t set) {
    hid_t properties = H5Dget_create_plist(set);
    H5D_layout_t layout = properties < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(properties);
    int external = properties < 0 ? 0 : H5Pget_external_count(properties);
    if (properties >= 0) H5Pclose(properties);
    out->chunked = layout == H5D_CHUNKED;
    out->offset = -1;
    if ((layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED) || external)
        return damaged(f, name, "is stored in a way that is not supported");
    if (out->chunked || !out->bytes) return STATUS_OK;
    haddr_t offset = H5Dget_offset(set);
    if (offset == HADDR_UNDEF || offset > (haddr_t)f->size ||
        out->bytes > (size_t)f->size - (size_t)offset)
        return damaged(f, name, "reaches beyond the end of the file");
    out->offset = (int64_t)offset;
    return STATUS_OK;
}

// The bytes of each string of SET; 0: it does not hold strings that are supported.
static size_t string_size(hid_t set) {
    hid_t type = H5Dget_type(set);
    size_t size = 0;
    if (type >= 0 && H5Tget_class(type) == H5T_STRING && H5Tis_variable_str(type) == 0 &&
        H5Tget_strpad(type) != H5T_STR_SPACEPAD)
        size = H5Tget_size(type);
    if (type >= 0) H5Tclose(type);
    return size;
}

// Strings are seen as U8 with the bytes of each as another dimension.
static status look_at_strings(hdf5_shape *out, hdf5 *f, const char *name, hid_t set) {
    size_t size = string_size(set);
    if (!size) return damaged(f, name, "does not hold strings of one length");
    out->type = DTYPE_U8;
    status rc = look_at_sizes(out, f, name, set);
    if (rc) return rc;
    if (out->rank != 1) return damaged(f, name, "is no list of strings");
    if (size > INT64_MAX || !size_multiply(out->bytes, size, &out->bytes))
        return damaged(f, name, "is larger than can be");
    out->dim[out->rank++] = (int64_t)size;
    return STATUS_OK;
}

static status look_at_numbers(hdf5_shape *out, hdf5 *f, const char *name, hid_t set) {
    out->type = type_of(set);
    if (out->type == DTYPE_COUNT) return damaged(f, name, "has a type that is not supported");
    return look_at_sizes(out, f, name, set);
}

static status look(hdf5_shape *out, hdf5 *f, const char *name,
                   status (*look_at)(hdf5_shape *out, hdf5 *f, const char *name, hid_t set)) {
    *out = (hdf5_shape){.offset = -1};
    library_lock();
    hid_t set = -1;
    status rc = check_links(f, name);
    if (!rc) set = H5Dopen2(f->file, name, H5P_DEFAULT);
    if (!rc && set < 0) rc = refused(f, name, "open the dataset");
    if (!rc) rc = look_at(out, f, name, set);
    if (!rc) rc = look_at_place(out, f, name, set);
    if (set >= 0) H5Dclose(set);
    library_unlock();
    return rc;
}

status hdf5_look(hdf5_shape *out, hdf5 *f, const char *name) {
    return look(out, f, name, look_at_numbers);
}

static status refuse_chunks(const hdf5_shape *shape, const hdf5 *f, const char *name) {
    return shape->chunked ? damaged(f, name, "is stored in chunks") : STATUS_OK;
}

status hdf5_expect_strings(hdf5_shape *out, hdf5 *f, const char *name) {
    status rc = look(out, f, name, look_at_strings);
    return rc ? rc : refuse_chunks(out, f, name);
}

status hdf5_expect(hdf5_shape *out, hdf5 *f, const char *name, dtype type, int rank,
                   const int64_t *dim) {
    char want[SHAPE_TEXT_SIZE], found[SHAPE_TEXT_SIZE];
    status rc = hdf5_look(out, f, name);
    if (rc) return rc;
    bool same = out->type == type && out->rank == rank;
    for (int i = 0; same && i < rank; i++) same = dim[i] < 0 || dim[i] == out->dim[i];
    if (same) return STATUS_OK;
    return status_fail(STATUS_FORMAT, "%s: %s is %s %s, must be %s %s", f->path, name,
                       dtype_name(out->type), shape_text(found, out->rank, out->dim),
                       dtype_name(type), shape_text(want, rank, dim));
}

status hdf5_expect_whole(hdf5_shape *out, hdf5 *f, const char *name, dtype type, int rank,
                         const int64_t *dim) {
    status rc = hdf5_expect(out, f, name, type, rank, dim);
    return rc ? rc : refuse_chunks(out, f, name);
}

status hdf5_load(void *target, hdf5_shape *out, hdf5 *f, const char *name, dtype type, int rank,
                 const int64_t *dim) {
    void **bytes = target;
    status rc = hdf5_expect_whole(out, f, name, type, rank, dim);
    if (!rc) rc = mem_take(bytes, out->bytes, 1, name);
    return rc ? rc : hdf5_read(*bytes, f, name, out);
}

status hdf5_read(void *out, hdf5 *f, const char *name, const hdf5_shape *shape) {
    if (shape->chunked) die("hdf5: %s is not in one piece", name);
    status rc = file_read_at(out, f->fd, f->path, shape->bytes, shape->offset);
    return rc == STATUS_FORMAT ? damaged(f, name, "the file ended while it was read") : rc;
}

// Whether the filters of SET are none, or the one deflate that was asked for.
static bool filters_are(hid_t set, int deflate) {
    hid_t properties = H5Dget_create_plist(set);
    if (properties < 0) return false;
    unsigned flags, configuration;
    size_t values = 0;
    int count = H5Pget_nfilters(properties);
    bool same = count == (deflate ? 1 : 0);
    if (same && deflate)
        same = H5Pget_filter2(properties, 0, &flags, &values, NULL, 0, NULL, &configuration) ==
               DEFLATE_FILTER;
    H5Pclose(properties);
    return same;
}

static status look_at_chunk(hdf5_chunk *out, hdf5 *f, const char *name, hid_t set, hid_t space,
                            int64_t i) {
    hsize_t start[HDF5_MAX_RANK], bytes;
    haddr_t offset;
    unsigned mask;
    if (H5Dget_chunk_info(set, space, (hsize_t)i, start, &mask, &offset, &bytes) < 0)
        return refused(f, name, "find a record of");
    if (mask || start[0] != (hsize_t)i) return damaged(f, name, "a record is missing");
    if (offset == HADDR_UNDEF || offset > (haddr_t)f->size || bytes > (hsize_t)f->size - offset)
        return damaged(f, name, "a record reaches beyond the end of the file");
    *out = (hdf5_chunk){(int64_t)offset, (int64_t)bytes};
    return STATUS_OK;
}

// The library walks its index from the start for every chunk: 2,048 of them take some 50 ms, so that
// readers of many files keep a table of their own.
status hdf5_chunks(hdf5_chunk *table, hdf5 *f, const char *name, int64_t count, int deflate) {
    hsize_t chunks = 0;
    library_lock();
    hid_t set = -1, space = -1; // H5S_ALL is understood from 1.14 on only
    status rc = check_links(f, name);
    if (!rc) set = H5Dopen2(f->file, name, H5P_DEFAULT);
    if (!rc && set < 0) rc = refused(f, name, "open the dataset");
    if (!rc) space = H5Dget_space(set);
    if (!rc && !filters_are(set, deflate)) rc = damaged(f, name, "is compressed in another way");
    if (!rc && count && H5Dget_num_chunks(set, space, &chunks) < 0)
        rc = refused(f, name, "count the records of");
    if (!rc && chunks != (hsize_t)count) rc = damaged(f, name, "has records that are missing");
    for (int64_t i = 0; !rc && i < count; i++)
        rc = look_at_chunk(&table[i], f, name, set, space, i);
    if (space >= 0) H5Sclose(space);
    if (set >= 0) H5Dclose(set);
    library_unlock();
    return rc;
}

library_version hdf5_version(void) {
    unsigned major = 0, minor = 0, release = 0;
    H5get_libversion(&major, &minor, &release);
    return version_numbers((int[]){(int)major, (int)minor, (int)release},
                           (int[]){H5_VERS_MAJOR, H5_VERS_MINOR, H5_VERS_RELEASE});
}
