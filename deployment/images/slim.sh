#!/bin/sh
# Cuts what no running service needs from the environment in $1: symbols for debuggers, tests, stubs for type checkers,
# copies of libraries that are there twice. Nothing that is called is changed; the conformance suite asks the result.
set -eu
packages=$(echo "$1"/lib/python3*/site-packages)

# onnxruntime's Python module has the runtime in itself; the library beside it is for C programs. Its tools convert models.
rm -f "$packages"/onnxruntime/capi/libonnxruntime.so*
rm -rf "$packages"/onnxruntime/transformers "$packages"/onnxruntime/quantization "$packages"/onnxruntime/tools
# Only downloads of new weights would use it, and they have another way.
rm -rf "$packages"/hf_xet
rm -rf "$packages"/ctranslate2/converters "$packages"/numpy/f2py
find "$packages" -type d \( -name tests -o -name testing -o -name include \) -path '*/numpy/*' -prune -exec rm -rf {} +
find "$packages" -type d -name tests -prune -exec rm -rf {} +
find "$packages" -type f \( -name '*.pyi' -o -name '*.a' -o -name '*.lib' -o -name '*.c' -o -name '*.pyx' -o -name '*.pxd' \
    -o -name '*.h' -o -name '*.hpp' -o -name '*.map' \) -delete
find "$1" -type d -name __pycache__ -prune -exec rm -rf {} +

# Libraries in `*.libs` were moved about by auditwheel, and break when they are stripped; extension modules don't.
find "$packages" -type f -name '*.so' ! -path '*.libs/*' -exec strip --strip-unneeded {} \;

# OpenCV brings FFmpeg, libavif and an OpenSSL that is no longer maintained. The service decodes with PyAV and Pillow, which
# bring the same versions of FFmpeg and libavif: OpenCV is linked to those.
opencv="$packages/opencv_python_headless.libs"
shared() { # of OpenCV's library $1 there is the same in folder $2
    ours=$(basename "$(find "$opencv" -name "$1-*")")
    theirs=$(basename "$(find "$packages/$2" -name "$1-*")")
    [ -n "$ours" ] && [ -n "$theirs" ] && [ "$(version "$ours" "$1")" = "$(version "$theirs" "$1")" ] || {
        echo "$1 of OpenCV is $ours, and in $2 there is ${theirs:-none}: both stay" >&2
        return 0
    }
    patchelf --replace-needed "$ours" "$theirs" "$packages/cv2/cv2.abi3.so"
    rm "$opencv/$ours"
}
version() { # libavcodec-c4204469.so.62.28.101 -> so.62, its binary interface
    echo "${1#"$2"-*.}" | cut -d. -f1,2
}
if [ -d "$opencv" ]; then
    for library in libavcodec libavformat libavutil libswscale; do shared "$library" av.libs; done
    shared libavif pillow.libs
    shared libpng16 pillow.libs
    # shellcheck disable=SC2016 # $ORIGIN is the loader's
    patchelf --force-rpath --set-rpath '$ORIGIN/../opencv_python_headless.libs:$ORIGIN/../av.libs:$ORIGIN/../pillow.libs' \
        "$packages/cv2/cv2.abi3.so"
    for orphan in libswresample libvpx libaom libcrypto libssl libdrm; do
        if [ -z "$(find "$opencv" -name 'libav[cf]*')" ]; then rm -f "$opencv/$orphan"-*; fi
    done
fi
