"""The encoder options that a user may give: one table for each family of encoders.

An option that is not here is refused. To allow one, add FFmpeg's name of it to its family, or the
library's own name to the table of its list ("x264-params" and the like). Upper case, "-" and "_"
are the same when names are looked up.

Leave out whatever names a file or a library (statistics, matrices, quantisers or zones by file,
grain tables, logs, plugins), makes one (two passes, OpenCL's cache), or holds options inside
options (zones of x264 and x265). Names are from ``ffmpeg -h encoder=NAME`` of FFmpeg 5.1 to 8.1
and the libraries' own parsers.
"""

from __future__ import annotations

from collections.abc import Mapping


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# FFmpeg's own for every encoder; they mean the same whichever it is.
COMMON = _names("""
    b b_qfactor b_qoffset bf bidir_refine bits_per_raw_sample bt bufsize chroma_sample_location cmp
    color_primaries color_range color_trc colorspace compression_level dark_mask dc dct dia_size
    field_order flags g global_quality i_qfactor i_qoffset idct ildctcmp keyint_min last_pred level
    lumi_mask maxrate mbcmp mbd mblmax mblmin me_range minrate mv0_threshold p_mask pre_dia_size
    precmp profile qblur qcomp qdiff qmax qmin rc_init_occupancy rc_max_vbv_use rc_min_vbv_use refs
    sc_threshold scplx_mask skip_bottom skip_top slices strict subcmp subq tcplx_mask thread_type
    threads trellis
""")
# Many encoders have these, each with values of its own.
USUAL = _names("crf lossless preset pred qp quality speed tune")
# Of "flags"; without pass1 and pass2, which write and read statistics.
FLAGS = _names("""
    aic bitexact cgop global_header gray ildct ilme loop low_delay mv4 psnr qpel qscale
""")

_MPEG = _names("""
    a53cc alternate_scan b_sensitivity b_strategy border_mask brd_scale chroma_elim_threshold
    data_partitioning drop_frame_timecode error_rate force_duplicated_matrix gop_timecode huffman
    intra_dc_precision intra_penalty intra_vlc lmax lmin luma_elim_threshold mepc mepre motion_est
    mpeg_quant mpv_flags noise_reduction non_linear_quant ps qsquish quantizer_noise_shaping
    rc_buf_aggressivity rc_init_cplx rc_qmod_amp rc_qmod_freq scan_offset seq_disp_ext skip_cmp
    skip_exp skip_factor skip_threshold timecode_frame_start video_format
""")
_X264 = _names("""
    8x8dct a53cc aq-mode aq-strength aud avcintra-class b-bias b-pyramid b_strategy bluray-compat
    chromaoffset coder cplxblur crf_max deblock direct-pred fast-pskip forced-idr intra-refresh
    mbtree me_method mixed-refs motion-est nal-hrd noise_reduction partitions psy psy-rd
    rc-lookahead slice-max-size ssim udu_sei weightb weightp wpredp x264-params x264opts
""")
_VPX = _names("""
    aq-mode arnr-maxframes arnr-strength arnr-type arnr_max_frames arnr_strength arnr_type
    auto-alt-ref corpus-complexity cpu-used deadline drop-threshold enable-tpl error-resilient
    frame-parallel lag-in-frames max-intra-rate min-gf-interval noise-sensitivity overshoot-pct
    rc_lookahead row-mt screen-content-mode sharpness static-thresh tile-columns tile-rows
    tune-content undershoot-pct vp8flags
""")
_AOM = _names("""
    aq-mode arnr-max-frames arnr-strength auto-alt-ref cpu-used denoise-block-size
    denoise-noise-level drop-threshold enable-1to4-partitions enable-ab-partitions
    enable-angle-delta enable-cdef enable-cfl-intra enable-diff-wtd-comp enable-dist-wtd-comp
    enable-dual-filter enable-filter-intra enable-flip-idtx enable-global-motion
    enable-interinter-wedge enable-interintra-comp enable-interintra-wedge
    enable-intra-edge-filter enable-intrabc enable-masked-comp enable-obmc enable-onesided-comp
    enable-paeth-intra enable-palette enable-rect-partitions enable-reduced-reference-set
    enable-ref-frame-mvs enable-restoration enable-smooth-interintra enable-smooth-intra
    enable-tx64 error-resilience frame-parallel lag-in-frames maxsection-pct minsection-pct
    overshoot-pct reduced-tx-type-set row-mt static-thresh still-picture tile-columns tile-rows
    tiles undershoot-pct usage use-inter-dct-only use-intra-dct-only use-intra-default-tx-only
""")
_PRORES = _names("alpha_bits bits_per_mb mbs_per_slice quant_mat vendor")
_HUFFMAN = _names("context non_deterministic")
_WEBP = _names("cr_size cr_threshold")
_PNG = _names("dpi dpm")

# By FFmpeg's name of the encoder; COMMON and USUAL are allowed besides.
ENCODERS: Mapping[str, frozenset[str]] = {
    "libx264": _X264,
    "libx264rgb": _X264,
    "libx265": _names("a53cc forced-idr udu_sei x265-params"),
    "libsvtav1": _names("hielevel la_depth sc_detection svtav1-params tier tile_columns tile_rows"),
    "libaom-av1": _AOM | {"aom-params"},
    "librav1e": _names("rav1e-params tile-columns tile-rows tiles"),
    "libvpx": _VPX,
    "libvpx-vp9": _VPX,
    "libxvid": _names("gmc lumi_aq me_quality mpeg_quant ssim ssim_acc variance_aq"),
    "libwebp": _WEBP,
    "libwebp_anim": _WEBP,
    "libjxl": _names("distance effort modular"),
    "libopenjpeg": _names("""
        cinema_mode disto_alloc fixed_quality format irreversible numresolution prog_order
    """),
    "jpeg2000": _names("eph format layer_rates prog sop tile_height tile_width"),
    "prores": _PRORES,
    "prores_aw": _PRORES,
    "prores_ks": _PRORES,
    "dnxhd": _names("ibias nitris_compat"),
    "ffv1": _names("coder context qtable remap_mode remap_optimizer slicecrc"),
    "ffvhuff": _HUFFMAN,
    "huffyuv": _HUFFMAN,
    "gif": _names("gifflags gifimage global_palette"),
    "png": _PNG,
    "apng": _PNG,
    "tiff": _names("compression_algo dpi"),
    "snow": _names("intra_penalty iterative_dia_size memc_only motion_est no_bitstream"),
    **dict.fromkeys(
        _names("flv h261 h263 h263p mjpeg mpeg1video mpeg2video mpeg4 msmpeg4 msmpeg4v2 wmv1 wmv2"),
        _MPEG,
    ),
}
# By what FFmpeg's name of a hardware encoder ends in.
HARDWARE: Mapping[str, frozenset[str]] = {
    "nvenc": _names("""
        a53cc aq-strength aud b_adapt b_ref_mode bluray-compat cbr cbr_padding coder
        constrained-encoding cq delay dpb_size extra_sei forced-idr gpu highbitdepth init_qpB
        init_qpI init_qpP intra-refresh ldkfs lookahead_level max_slice_size multipass no-scenecut
        nonref_p qp_cb_offset qp_cr_offset rc rc-lookahead rgb_mode s12m_tc
        single-slice-intra-refresh spatial-aq spatial_aq split_encode_mode strict_gop surfaces
        temporal-aq temporal_aq tf_level tier tile-columns tile-rows timing-info udu_sei unidir_b
        weighted_pred zerolatency
    """),
    "qsv": _names("""
        a53cc adaptive_b adaptive_i async_depth aud avbr_accuracy avbr_convergence b_strategy
        bitrate_limit cavlc dblk_idc extbrc forced_idr gpb idr_interval int_ref_cycle_dist
        int_ref_cycle_size int_ref_qp_delta int_ref_type look_ahead look_ahead_depth
        look_ahead_downsampling low_delay_brc low_power max_dec_frame_buffering max_frame_size
        max_frame_size_i max_frame_size_p max_qp_b max_qp_i max_qp_p max_slice_size mbbrc mfmode
        min_qp_b min_qp_i min_qp_p p_strategy pic_timing_sei rdo recovery_point_sei repeat_pps
        scenario single_sei_nal_unit skip_frame tier tile_cols tile_rows transform_skip
    """),
    "amf": _names("""
        align aq_mode async_depth aud bf_delta_qp bf_ref bf_ref_delta_qp bitdepth coder enforce_hrd
        filler_data forced_idr frame_skipping gops_per_idr header_insertion_mode header_spacing
        high_motion_quality_boost_enable intra_refresh_mb latency max_au_size max_b_frames max_qp_b
        max_qp_i max_qp_p me_half_pel me_quarter_pel min_qp_b min_qp_i min_qp_p pa_activity_type
        pa_adaptive_mini_gop pa_caq_strength pa_frame_sad_enable pa_high_motion_quality_boost_mode
        pa_initial_qp_after_scene_change pa_lookahead_buffer_depth pa_ltr_enable
        pa_max_qp_before_force_skip pa_paq_mode pa_scene_change_detection_enable
        pa_scene_change_detection_sensitivity pa_static_scene_detection_enable
        pa_static_scene_detection_sensitivity pa_taq_mode preanalysis preencode profile_tier qp_b
        qp_i qp_p qvbr_quality_level rc skip_frame smart_access_video usage vbaq
    """),
    "vaapi": _names("""
        async_depth aud b_depth coder huffman idr_interval jfif loop_filter_level
        loop_filter_sharpness low_power max_frame_size rc_mode sei tier tiles
    """),
    "videotoolbox": _names("""
        a53cc allow_sw alpha_quality coder constant_bit_rate frames_after frames_before
        max_ref_frames max_slice_bytes power_efficient prio_speed realtime require_sw spatial_aq
    """),
    "mf": _names("hw_encoding rate_control scenario"),
    "v4l2m2m": _names("num_capture_buffers num_output_buffers"),
}

_X264_PARAMETERS = _names("""
    8x8dct alternative-transfer analyse aq-mode aq-strength aud avcintra-class b-adapt b-bias
    b-pyramid bff bframes bitrate bluray-compat cabac cabac-idc chroma-me chroma-qp-offset
    chromaloc cll colormatrix colorprim constrained-intra cplx-blur cplxblur cpu-independent crf
    crf-max crop-rect dct-decimate deadzone-inter deadzone-intra deblock deterministic direct
    direct-pred dpb-size fake-interlaced fast-pskip filler filter force-cfr frame-packing fullrange
    global-header interlaced intra-refresh ip-factor ipratio keyint level lookahead-threads
    mastering-display mbtree me me-range merange min-keyint mixed-refs mv-range mvrange
    mvrange-thread nal-hrd nf nr open-gop overscan partitions pb-factor pbratio pic-struct psnr psy
    psy-rd qblur qcomp qp qp-constant qp-max qp-min qp-step qpmax qpmin qpstep ratetol rc-lookahead
    ref repeat-headers sar scenecut slice-max-mbs slice-max-size slice-min-mbs sliced-threads
    slices slices-max sps-id ssim stitchable subme subq sync-lookahead tff threads transfer trellis
    vbv-bufsize vbv-init vbv-maxrate videoformat weightb weightp
""")
_X265_PARAMETERS = _names("""
    allow-non-conformance amp analyze-src-pics aq-bias-strength aq-mode aq-motion aq-strength aud
    b-adapt b-intra b-pyramid bframe-bias bframes bitrate cbqpoffs chromaloc cll colormatrix
    colorprim const-vbv constrained-intra copy-pic cplxblur crf crf-max crf-min crqpoffs ctu
    cu-lossless cutree deblock display-window dup-threshold dynamic-rd early-skip eob eos fades
    fast-intra field frame-dup frame-threads gop-lookahead hash hdr hdr10 hdr10-opt hevc-aq
    high-tier hist-scenecut hme hme-range hme-search hrd hrd-concat idr-recovery-sei info interlace
    intra-refresh ipratio keyint level-idc limit-modes limit-refs limit-sao limit-tu log-level
    lookahead-slices lookahead-threads lossless lowpass-dct master-display max-ausize-factor
    max-cll max-luma max-merge max-qp-delta max-tu-size mcstf me merange min-cu-size min-keyint
    min-luma min-vbv-fullness max-vbv-fullness nr-inter nr-intra open-gop opt-cu-delta-qp
    opt-qp-pps opt-ref-list-length-pps overscan pbratio pme pmode pools psnr psy-rd psy-rdoq qblur
    qcomp qg-size qp qp-adaptation-range qpmax qpmin qpstep radl range rc-grain rc-lookahead rd
    rd-refine rdoq rdoq-level rdpenalty rect ref repeat-headers rskip rskip-edge-threshold sao
    sao-non-deblock sar sbrc scenecut scenecut-aware-qp scenecut-bias selective-sao signhide
    single-sei slices splitrd-skip ssim ssim-rd strict-cbr strong-intra-smoothing subme
    temporal-layers temporal-mvp transfer traditional-scenecut tskip tskip-fast tu-inter-depth
    tu-intra-depth uhd-bd vbv-bufsize vbv-end vbv-init vbv-maxrate videoformat
    vui-hrd-info vui-timing-info weightb weightp wpp
""")
# Without mastering-display, over a broken value of which SVT-AV1's parser never ends.
_SVTAV1_PARAMETERS = _names("""
    ac-bias adaptive-film-grain aq-mode avif bias-pct buf-initial-sz buf-optimal-sz buf-sz
    chroma-qm-max chroma-qm-min chroma-sample-position chroma-u-ac-qindex-offset
    chroma-u-dc-qindex-offset chroma-v-ac-qindex-offset chroma-v-dc-qindex-offset color-primaries
    color-range content-light crf enable-cdef enable-dlf enable-force-key-frames enable-mfmv
    enable-overlays enable-qm enable-restoration enable-tf enable-tpl-la enable-variance-boost
    fast-decode film-grain film-grain-denoise force-key-frames frame-luma-bias gop-constraint-rc
    hierarchical-levels irefresh-type kf-tf-strength keyint level level-of-parallelism lookahead lp
    lossless luminance-qp-bias matrix-coefficients max-qp max-tx-size
    maxsection-pct mbr mbr-overshoot-pct min-qp minsection-pct noise-norm-strength overshoot-pct
    pin pred-struct preset profile psy-rd qm-max qm-min qp qp-scale-compress-strength rc
    recode-loop resize-denom resize-kf-denom resize-mode rtc scd scm sharp-tx sharpness
    startup-mg-size startup-qp-offset superres-denom superres-kf-denom superres-kf-qthres
    superres-mode superres-qthres tbr tf-strength tier tile-columns tile-rows
    transfer-characteristics tune undershoot-pct use-fixed-qindex-offsets variance-boost-curve
    variance-boost-strength variance-octile
""")
_AOM_PARAMETERS = (_AOM - {"usage"}) | _names("""
    arnr-maxframes auto-intra-tools-off cdf-update-mode chroma-sample-position
    coeff-cost-upd-freq color-primaries cq-level delta-lf-mode deltaq-mode deltaq-strength
    enable-chroma-deltaq enable-diagonal-intra enable-directional-intra enable-dnl-denoising
    enable-fwd-kf enable-interinter-wedge enable-keyframe-filtering enable-low-complexity-decode
    enable-order-hint enable-overlay enable-qm enable-rate-guide-deltaq enable-rect-tx
    enable-tpl-model enable-warped-motion film-grain-test frame-boost gf-cbr-boost
    gf-max-pyr-height gf-min-pyr-height loopfilter-control lossless matrix-coefficients
    max-gf-interval max-inter-rate max-intra-rate max-partition-size max-reference-frames min-cr
    min-gf-interval min-partition-size mode-cost-upd-freq mtu-size mv-cost-upd-freq
    noise-sensitivity num-tile-groups qm-max qm-min quant-b-adapt sb-size sharpness
    skip-postproc-filtering target-seq-level-idx tier-mask timing-info transfer-characteristics
    tune tune-content
""")
_RAV1E_PARAMETERS = _names("""
    bitrate content_light enable_timing_info key_frame_interval low_latency mastering_display
    min_key_frame_interval min_quantizer quantizer rdo_lookahead_frames reservoir_frame_delay speed
    still_picture switch_frame_interval threads tile_cols tile_rows tiles tune
""")
# Options that are lists of a library's own options, "name=value:name=value".
LISTS: Mapping[str, frozenset[str]] = {
    "x264-params": _X264_PARAMETERS,
    "x264opts": _X264_PARAMETERS,
    "x265-params": _X265_PARAMETERS,
    "svtav1-params": _SVTAV1_PARAMETERS,
    "aom-params": _AOM_PARAMETERS,
    "rav1e-params": _RAV1E_PARAMETERS,
}


def options_of(encoder: str) -> frozenset[str]:
    """Return the options allowed for one of FFmpeg's encoders, whether we know it or not."""
    family = HARDWARE.get(encoder.rpartition("_")[2], frozenset())
    return COMMON | USUAL | ENCODERS.get(encoder, family)
