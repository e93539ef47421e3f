// Calls into DCMTK. See dicom.h. The library is given files, never a network; what it makes of a
// hostile one is checked here and in data/dicom_pixels.c before it is believed.
#include "data/dicom.h"
#include "data/dicom_rle.h"

#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dccodec.h>
#include <dcmtk/dcmdata/dcpixseq.h>
#include <dcmtk/dcmdata/dcpxitem.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmjpeg/djdecode.h>
#include <dcmtk/dcmjpls/djdecode.h>
#include <dcmtk/oflog/oflog.h>

struct dicom_file {
    DcmFileFormat file;
    DcmDataset *data() const { return const_cast<DcmFileFormat &>(file).getDataset(); }
};

namespace {

// Values beyond this stay in the file until they are asked for.
const Uint32 read_at_once = 4096;
const size_t report_most = 1 << 20;
const int depth_most = 32;

int say(char *why, size_t room, const char *text) {
    std::snprintf(why, room, "%s", text);
    for (char *c = why; *c; c++)
        if (*c == '\n' || *c == '\r') *c = ' ';
    return 1;
}

// What ACT returns, or 1 for whatever it throws.
template <typename Act> int guarded(char *why, size_t room, Act act) {
    try {
        return act();
    } catch (const std::bad_alloc &) {
        return say(why, room, "not enough memory for what it claims to hold");
    } catch (const std::exception &e) {
        return say(why, room, e.what());
    } catch (...) {
        return say(why, room, "an unknown exception");
    }
}

// The library's texts may quote the file: those that are constant are repeated, of others the
// number.
int failed(char *why, size_t room, const char *what, const OFCondition &condition) {
    static const OFConditionConst *const constant[] = {&EC_InvalidTag,
                                                       &EC_TagNotFound,
                                                       &EC_InvalidVR,
                                                       &EC_InvalidStream,
                                                       &EC_EndOfStream,
                                                       &EC_CorruptedData,
                                                       &EC_StreamNotifyClient,
                                                       &EC_RepresentationNotFound,
                                                       &EC_CannotChangeRepresentation,
                                                       &EC_UnsupportedEncoding,
                                                       &EC_PutbackFailed,
                                                       &EC_InvalidOffset,
                                                       &EC_TooManyBytesRequested,
                                                       &EC_InvalidBasicOffsetTable,
                                                       &EC_ElemLengthLargerThanItem,
                                                       &EC_FileMetaInfoHeaderMissing,
                                                       &EC_SeqOrItemContentOverflow,
                                                       &EC_ValueRepresentationViolated,
                                                       &EC_ElemLengthExceeds16BitField,
                                                       &EC_SequDelimitationItemMissing,
                                                       &EC_ItemDelimitationItemMissing,
                                                       &EC_PrematureSequDelimitationItem,
                                                       &EC_UnknownVR,
                                                       &EC_UnknownTransferSyntax,
                                                       &EC_MissingAttribute,
                                                       &EC_UndefinedLengthOBOW,
                                                       &EC_PixelDataExplLengthIllegal,
                                                       &EJ_Suspension,
                                                       &EJ_UnsupportedBitDepth,
                                                       &EC_JLSInvalidCompressedData,
                                                       &EC_JLSCodecUnsupportedImageType,
                                                       &EC_JLSImageDataMismatch};
    for (const OFConditionConst *known : constant)
        if (condition == OFCondition(*known)) {
            std::snprintf(why, room, "%s: %s", what, condition.text());
            return 1;
        }
    std::snprintf(why, room, "%s (DCMTK's error %u:%u)", what, condition.module(),
                  condition.code());
    return 1;
}

// The library keeps its decoders in a list of its own.
void begin() {
    static std::once_flag once;
    std::call_once(once, [] {
        OFLog::configure(OFLogger::OFF_LOG_LEVEL);
        DJDecoderRegistration::registerCodecs();
        DJLSDecoderRegistration::registerCodecs();
    });
}

// The first value of TAG without the blanks around it; "" where there is none.
std::string text_of(DcmItem *item, const DcmTagKey &tag) {
    OFString value;
    if (!item || item->findAndGetOFString(tag, value).bad()) return {};
    const std::string text(value.c_str());
    const size_t first = text.find_first_not_of(' '), last = text.find_last_not_of(' ');
    return first == std::string::npos ? std::string() : text.substr(first, last - first + 1);
}

void copy(char *out, size_t room, const std::string &text) {
    std::snprintf(out, room, "%s", text.c_str());
}

DcmItem *first_item(DcmItem *from, const DcmTagKey &tag) {
    DcmItem *item = nullptr;
    if (!from || from->findAndGetSequenceItem(tag, item, 0).bad()) return nullptr;
    return item;
}

// Whether a compressed frame can be decoded, or is plain.
bool can_decode(const DcmXfer &syntax) {
    if (!syntax.isEncapsulated()) return syntax.getXfer() != EXS_Unknown;
    if (syntax.getXfer() == EXS_RLELossless) return true;
    return DcmCodecList::canChangeCoding(syntax.getXfer(), EXS_LittleEndianExplicit);
}

// The UID that the file gives, which the library does not keep where it does not know it.
std::string describe_syntax(const dicom_file *f, const DcmXfer &syntax) {
    const std::string uid =
        text_of(const_cast<DcmFileFormat &>(f->file).getMetaInfo(), DCM_TransferSyntaxUID);
    const bool known = syntax.getXfer() != EXS_Unknown;
    if (uid.find_first_not_of("0123456789.") != std::string::npos) return "no transfer syntax";
    return std::string(known ? syntax.getXferName() : "an unknown transfer syntax") + " (" + uid +
           ")";
}

dicom_kind kind_of(const std::string &modality, const std::string &sop_class) {
    if (sop_class == UID_BasicTextSRStorage || sop_class == UID_EnhancedSRStorage ||
        sop_class == UID_ComprehensiveSRStorage)
        return DICOM_REPORT;
    return modality == "CR" || modality == "DX" ? DICOM_IMAGE : DICOM_OTHER;
}

} // namespace

int dicom_open(dicom_file **out, const char *path, char *why, size_t room) {
    dicom_file *f = nullptr;
    *out = nullptr;
    const int rc = guarded(why, room, [&] {
        begin();
        if (!dcmDataDict.isDictionaryLoaded())
            return say(why, room, "DCMTK finds no data dictionary (see DCMDICTPATH)");
        f = new dicom_file;
        const OFCondition read =
            f->file.loadFile(path, EXS_Unknown, EGL_noChange, read_at_once, ERM_fileOnly);
        if (read.bad()) return failed(why, room, "not a whole DICOM file", read);
        return f->data() ? 0 : say(why, room, "a DICOM file without a data set");
    });
    if (rc)
        delete f;
    else
        *out = f;
    return rc;
}

void dicom_close(dicom_file *f) {
    delete f;
}

void dicom_read_facts(dicom_facts *out, const dicom_file *f) {
    char why[8];
    std::memset(out, 0, sizeof *out);
    guarded(why, sizeof why, [&] {
        DcmDataset *data = f->data();
        const DcmXfer syntax(data->getOriginalXfer());
        const std::string sop_class = text_of(data, DCM_SOPClassUID);
        copy(out->modality, sizeof out->modality, text_of(data, DCM_Modality));
        copy(out->instance, sizeof out->instance, text_of(data, DCM_SOPInstanceUID));
        copy(out->study, sizeof out->study, text_of(data, DCM_StudyInstanceUID));
        copy(out->accession, sizeof out->accession, text_of(data, DCM_AccessionNumber));
        copy(out->patient, sizeof out->patient, text_of(data, DCM_PatientID));
        copy(out->issuer, sizeof out->issuer, text_of(data, DCM_IssuerOfPatientID));
        copy(out->view, sizeof out->view, text_of(data, DCM_ViewPosition));
        copy(out->view_meaning, sizeof out->view_meaning,
             text_of(first_item(data, DCM_ViewCodeSequence), DCM_CodeMeaning));
        out->burned_in = text_of(data, DCM_BurnedInAnnotation) == "YES";
        out->secondary_capture = sop_class == UID_SecondaryCaptureImageStorage ||
                                 text_of(data, DCM_ConversionType).size() > 0;
        out->kind = kind_of(out->modality, sop_class);
        if (!can_decode(syntax))
            copy(out->compression, sizeof out->compression, describe_syntax(f, syntax));
        return 0;
    });
}

// --- pixels --------------------------------------------------------------------------------------

namespace {

bool number(DcmItem *item, const DcmTagKey &tag, int *out) {
    Uint16 value = 0;
    const bool there = item->findAndGetUint16(tag, value).good();
    if (there) *out = value;
    return there;
}

bool real(DcmItem *item, const DcmTagKey &tag, double *out) {
    Float64 value = 0;
    const bool there = item->findAndGetFloat64(tag, value).good();
    if (there) *out = value;
    return there;
}

int check_frame(const dicom_frame *d, DcmDataset *data, char *why, size_t room) {
    int samples = 1;
    Sint32 frames = 1;
    number(data, DCM_SamplesPerPixel, &samples);
    if (data->tagExists(DCM_NumberOfFrames) &&
        (data->findAndGetSint32(DCM_NumberOfFrames, frames).bad() || frames != 1))
        return say(why, room, "an image of several frames, not a radiograph");
    if (samples != 1) return say(why, room, "a colour image, not a radiograph");
    if (d->allocated != 8 && d->allocated != 16)
        return say(why, room, "samples of neither 8 nor 16 allocated bits");
    if (d->stored < 1 || d->stored > d->allocated || d->high >= d->allocated ||
        d->high < d->stored - 1)
        return say(why, room, "stored bits that do not fit the allocated ones");
    return 0;
}

// A table, if the sequence is there. Its first input is signed where the pixels are.
int read_lut(dicom_lut *out, DcmItem *data, const DcmTagKey &sequence, bool is_signed, char *why,
             size_t room) {
    DcmItem *item = first_item(data, sequence);
    int count = 0, bits = 0;
    Uint16 first = 0;
    Sint16 first_signed = 0;
    const Uint16 *value = nullptr;
    unsigned long there = 0;
    if (!item) return 0;
    DcmElement *descriptor = nullptr;
    if (item->findAndGetElement(DCM_LUTDescriptor, descriptor).bad())
        return say(why, room, "a lookup table without a descriptor");
    // Written as US or as SS, whichever the first input needs; the other two are unsigned in any
    // case.
    const bool as_signed = descriptor->ident() == EVR_SS;
    for (unsigned i = 0; i < 3; i++) {
        Uint16 part = 0;
        Sint16 part_signed = 0;
        const OFCondition read =
            as_signed ? descriptor->getSint16(part_signed, i) : descriptor->getUint16(part, i);
        if (read.bad()) return say(why, room, "a lookup table with a damaged descriptor");
        if (as_signed) part = static_cast<Uint16>(part_signed);
        if (i == 0) count = part ? part : 65536;
        if (i == 1) first = part, first_signed = static_cast<Sint16>(part);
        if (i == 2) bits = part;
    }
    if (bits < 8 || bits > 16)
        return say(why, room, "a lookup table of neither 8 nor up to 16 bits");
    if (item->findAndGetUint16Array(DCM_LUTData, value, &there).bad() || !value ||
        there < static_cast<unsigned long>(count))
        return say(why, room, "a lookup table with fewer values than it claims");
    *out = {value, count, is_signed ? first_signed : first, bits};
    return 0;
}

int read_meaning(dicom_frame *out, DcmDataset *data, char *why, size_t room) {
    const std::string function = text_of(data, DCM_VOILUTFunction);
    real(data, DCM_RescaleSlope, &out->slope);
    real(data, DCM_RescaleIntercept, &out->intercept);
    out->windowed =
        real(data, DCM_WindowCenter, &out->center) && real(data, DCM_WindowWidth, &out->span);
    out->function = function == "SIGMOID"        ? DICOM_SIGMOID
                    : function == "LINEAR_EXACT" ? DICOM_LINEAR_EXACT
                                                 : DICOM_LINEAR;
    if (read_lut(&out->modality, data, DCM_ModalityLUTSequence, out->is_signed, why, room))
        return 1;
    return read_lut(&out->voi, data, DCM_VOILUTSequence, out->is_signed && !out->modality.value,
                    why, room);
}

} // namespace

int dicom_read_frame(dicom_frame *out, dicom_file *f, char *why, size_t room) {
    std::memset(out, 0, sizeof *out);
    out->slope = 1;
    return guarded(why, room, [&] {
        DcmDataset *data = f->data();
        const std::string meaning = text_of(data, DCM_PhotometricInterpretation);
        int representation = 0;
        if (!data->tagExists(DCM_PixelData)) return say(why, room, "no pixels in it");
        if (!number(data, DCM_Columns, &out->width) || !number(data, DCM_Rows, &out->height) ||
            !number(data, DCM_BitsAllocated, &out->allocated) ||
            !number(data, DCM_BitsStored, &out->stored))
            return say(why, room, "it does not say the size of its image");
        if (!number(data, DCM_HighBit, &out->high)) out->high = out->stored - 1;
        number(data, DCM_PixelRepresentation, &representation);
        out->is_signed = representation == 1;
        out->inverted = meaning == "MONOCHROME1";
        if (!out->inverted && meaning != "MONOCHROME2")
            return say(why, room, "neither MONOCHROME1 nor MONOCHROME2");
        if (check_frame(out, data, why, room)) return 1;
        return read_meaning(out, data, why, room);
    });
}

namespace {

// The library looks for a JPEG's frame header without an end (3.6.7 goes round for ever where there
// is none) and believes it: it is found here first, behind nothing but whole segments, and must say
// what the file says.
int check_jpeg(const Uint8 *bytes, size_t size, const dicom_frame *frame, char *why, size_t room) {
    size_t at = 2;
    if (size < 4 || bytes[0] != 0xff || bytes[1] != 0xd8)
        return say(why, room, "its compressed pixels are no JPEG");
    while (at + 9 < size && bytes[at] == 0xff) {
        const int marker = bytes[at + 1], length = bytes[at + 2] << 8 | bytes[at + 3];
        const bool is_frame =
            (marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xcc) ||
            marker == 0xf7; // JPEG-LS
        if (is_frame) {
            const int height = bytes[at + 5] << 8 | bytes[at + 6],
                      width = bytes[at + 7] << 8 | bytes[at + 8];
            if (height == frame->height && width == frame->width && bytes[at + 9] == 1 &&
                bytes[at + 4] >= 2 && bytes[at + 4] <= frame->allocated)
                return 0;
            return say(why, room, "its JPEG is of another size or kind than the file says");
        }
        if (marker < 0xc0 || marker == 0xd8 || marker == 0xd9 || marker == 0xda || marker == 0xff ||
            length < 2)
            break;
        at += 2 + static_cast<size_t>(length);
    }
    return say(why, room, "its JPEG has no frame header");
}

// The first fragment of the one frame, NULL: there is none.
const Uint8 *first_fragment(size_t *size, DcmDataset *data, DcmElement *element) {
    DcmPixelSequence *sequence = nullptr;
    DcmPixelItem *item = nullptr;
    Uint8 *bytes = nullptr;
    if (element->ident() != EVR_PixelData ||
        static_cast<DcmPixelData *>(element)
            ->getEncapsulatedRepresentation(data->getOriginalXfer(), nullptr, sequence)
            .bad() ||
        !sequence || sequence->getItem(item, 1).bad() || !item || item->getUint8Array(bytes).bad())
        return nullptr;
    *size = item->getLength();
    return bytes;
}

int decode(void *samples, size_t size, DcmDataset *data, DcmElement *element, char *why,
           size_t room) {
    Uint32 fragment = 0;
    OFString meaning;
    // The library writes whole words.
    std::string frame(size + size % 2, '\0');
    const OFCondition rc = element->getUncompressedFrame(
        data, 0, fragment, &frame[0], static_cast<Uint32>(frame.size()), meaning);
    if (rc.bad()) return failed(why, room, "its pixels cannot be decoded", rc);
    std::memcpy(samples, frame.data(), size);
    return 0;
}

int decode_compressed(void *samples, size_t size, DcmDataset *data, DcmElement *element,
                      const dicom_frame *frame, char *why, size_t room) {
    size_t coded_size = 0;
    const Uint8 *coded = first_fragment(&coded_size, data, element);
    if (!coded) return say(why, room, "its compressed pixels are missing");
    if (data->getOriginalXfer() == EXS_RLELossless) {
        const int width = frame->allocated / 8;
        const size_t count = size / static_cast<size_t>(width);
        return dicom_rle_decode(samples, count, width, coded, coded_size)
                   ? 0
                   : say(why, room, "its run-length coded pixels are damaged");
    }
    if (check_jpeg(coded, coded_size, frame, why, room)) return 1;
    return decode(samples, size, data, element, why, room);
}

} // namespace

int dicom_read_pixels(void *samples, size_t size, dicom_file *f, char *why, size_t room) {
    return guarded(why, room, [&] {
        DcmDataset *data = f->data();
        DcmElement *element = nullptr;
        dicom_frame frame;
        if (dicom_read_frame(&frame, f, why, room)) return 1;
        if (size != static_cast<size_t>(frame.width) * static_cast<size_t>(frame.height) *
                        static_cast<size_t>(frame.allocated / 8) ||
            data->findAndGetElement(DCM_PixelData, element).bad())
            return say(why, room, "its pixels are not of the size that it claims");
        if (DcmXfer(data->getOriginalXfer()).isEncapsulated())
            return decode_compressed(samples, size, data, element, &frame, why, room);
        return decode(samples, size, data, element, why, room);
    });
}

// --- reports -------------------------------------------------------------------------------------

namespace {

struct report {
    std::string text, heading; // the heading under which the text stands
    bool too_long = false;
};

// As the reports' own headers are written; the plurals of DICOM's code lists are made those names.
std::string as_heading(std::string name) {
    for (char &c : name)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    if (name == "IMPRESSIONS" || name == "CONCLUSIONS") name.pop_back();
    return name;
}

void add_text(report *r, const std::string &heading, const std::string &label,
              const std::string &text) {
    if (r->text.size() + text.size() + heading.size() + label.size() > report_most) {
        r->too_long = true;
        return;
    }
    if (heading != r->heading && !heading.empty()) r->text += "\n" + heading + ":\n";
    r->heading = heading;
    if (!label.empty()) r->text += label + ": ";
    r->text += text + "\n";
}

// HEADING and LABEL: names of the containers around ITEM at the first and at the innermost level.
void walk(report *r, DcmItem *item, int depth, const std::string &heading,
          const std::string &label) {
    DcmSequenceOfItems *content = nullptr;
    if (depth > depth_most || item->findAndGetSequence(DCM_ContentSequence, content).bad() ||
        !content)
        return;
    for (unsigned long i = 0; i < content->card() && !r->too_long; i++) {
        DcmItem *child = content->getItem(i);
        const std::string type = text_of(child, DCM_ValueType);
        const std::string name =
            text_of(first_item(child, DCM_ConceptNameCodeSequence), DCM_CodeMeaning);
        if (type == "CONTAINER") {
            const bool top = heading.empty();
            walk(r, child, depth + 1, top ? as_heading(name) : heading, top ? label : name);
        } else if (type == "TEXT") {
            OFString text;
            child->findAndGetOFStringArray(DCM_TextValue, text);
            add_text(r, heading.empty() ? as_heading(name) : heading, label, text.c_str());
            walk(r, child, depth + 1, heading, label);
        }
    }
}

} // namespace

int dicom_read_report(dicom_file *f, dicom_keep *keep, void *context, char *why, size_t room) {
    return guarded(why, room, [&] {
        report r;
        const OFCondition rc = f->data()->convertToUTF8();
        if (rc.bad()) return failed(why, room, "its characters cannot be made UTF-8", rc);
        walk(&r, f->data(), 0, "", "");
        if (r.too_long) return say(why, room, "a report of more than 1 MiB");
        keep(context, r.text.data(), r.text.size());
        return 0;
    });
}

const char *dicom_built(void) {
    return OFFIS_DCMTK_VERSION_STRING;
}
