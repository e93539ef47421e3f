// DCMTK as a writer of compressed files: see helper_dicom.h.
#include "tests/data/helper_dicom.h"

#include <string>

#include <dcmtk/config/osconfig.h>
#include <dcmtk/dcmdata/dctk.h>
#include <dcmtk/dcmdata/dcrleerg.h>
#include <dcmtk/dcmjpeg/djencode.h>
#include <dcmtk/dcmjpeg/djrploss.h>
#include <dcmtk/dcmjpls/djencode.h>
#include <dcmtk/oflog/oflog.h>

int dicom_compress(const char *path, const char *syntax) {
    static const struct {
        const char *name;
        E_TransferSyntax syntax;
    } known[] = {{"rle", EXS_RLELossless},
                 {"jpeg-lossless", EXS_JPEGProcess14SV1},
                 {"jpeg-baseline", EXS_JPEGProcess1},
                 {"jpeg-ls", EXS_JPEGLSLossless},
                 {"deflated", EXS_DeflatedLittleEndianExplicit},
                 {"big-endian", EXS_BigEndianExplicit}};
    OFLog::configure(OFLogger::OFF_LOG_LEVEL);
    DcmRLEEncoderRegistration::registerCodecs();
    DJEncoderRegistration::registerCodecs();
    DJLSEncoderRegistration::registerCodecs();
    DcmFileFormat file;
    int rc = 1;
    for (const auto &k : known) {
        if (std::string(k.name) != syntax) continue;
        const DJ_RPLossy best(100);
        const DcmRepresentationParameter *how = k.syntax == EXS_JPEGProcess1 ? &best : nullptr;
        rc = file.loadFile(path).bad() || file.loadAllDataIntoMemory().bad() ||
             file.getDataset()->chooseRepresentation(k.syntax, how).bad() ||
             file.saveFile(path, k.syntax).bad();
    }
    DcmRLEEncoderRegistration::cleanup();
    DJEncoderRegistration::cleanup();
    DJLSEncoderRegistration::cleanup();
    return rc;
}
