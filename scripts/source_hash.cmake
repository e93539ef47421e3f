# cmake -DROOT=FOLDER -DOUT=FILE -P scripts/source_hash.cmake: writes the C file OUT with the SHA-256 of the program's
# sources, which bundles name (train/source_hash.h); leaves it alone where it says that already. The hash is that of
# the lines "SHA-256  path" of all files, as sha256sum writes them, in the order of their paths.
file(GLOB_RECURSE FILES RELATIVE ${ROOT} ${ROOT}/core/*.[ch]* ${ROOT}/data/*.[ch]* ${ROOT}/models/*.[ch]*
    ${ROOT}/optim/*.[ch]* ${ROOT}/eval/*.[ch]* ${ROOT}/train/*.[ch]*)
list(APPEND FILES CMakeLists.txt)
list(SORT FILES)
set(LINES "")
foreach(FILE ${FILES})
    file(SHA256 ${ROOT}/${FILE} HASH)
    string(APPEND LINES "${HASH}  ${FILE}\n")
endforeach()
string(SHA256 ALL "${LINES}")
set(TEXT "#include \"train/source_hash.h\"\nconst char source_hash[] = \"${ALL}\";\n")
if(EXISTS ${OUT})
    file(READ ${OUT} OLD)
endif()
if(NOT OLD STREQUAL TEXT)
    file(WRITE ${OUT} "${TEXT}")
endif()
