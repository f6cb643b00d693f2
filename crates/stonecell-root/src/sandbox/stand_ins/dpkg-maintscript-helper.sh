# dpkg-maintscript-helper moves what an older version of the package left. It is asked some ninety times a root, starts
# two or three programs each time, and has nothing to do: in a new root there is no older version, so that scripts are
# called as `preinst install` and `postinst configure ''`.
old=1
case "$DPKG_MAINTSCRIPT_NAME:$DPKG_MAINTSCRIPT_PACKAGE:$DPKG_ROOT:$DPKG_DEBUG" in
preinst:?*:: | postinst:?*::)
    command=$1
    path=$2
    [ "$command" != dir_to_symlink ] || path=${path%/}
    # After `--`: the script's own arguments.
    for word in "$@"; do
        case $old:$word in
        1:--) old=install ;;
        install:install | install:configure) old=version ;;
        version:) ;;
        1:*) ;;
        *) old=2 && break ;;
        esac
    done
    case $command:$path in
    *:*/) ;;
    rm_conffile:/* | mv_conffile:/* | symlink_to_dir:/* | dir_to_symlink:/*)
        # A directory or link set aside between unpacking and configuring would still have to be settled.
        if [ $old = version ] && [ ! -e "$path.dpkg-backup" ] && [ ! -h "$path.dpkg-backup" ]; then
            exit 0
        fi
        ;;
    esac
    ;;
esac
exec /usr/bin/dpkg-maintscript-helper "$@"
