# deb-systemd-helper is Perl, takes 40 ms to start, and is called three times for each unit: to unmask what nobody
# masked, to ask whether it was enabled, and to enable it. All three are a look at a few files and a few lines written.
# $known: the program in this tree is one whose way of enabling the code below is the same as.
real=/usr/bin/deb-systemd-helper
instance=system
enabled=/var/lib/systemd/deb-systemd-helper-enabled
quiet=
options=
for word in "$@"; do
    case $word in
    --quiet) quiet=1 ;;
    --user) instance=user enabled=/var/lib/systemd/deb-systemd-user-helper-enabled ;;
    *) break ;;
    esac
    options="$options $word"
    shift
done

# links UNIT: the links that enabling it means, in the program's order; fails where the unit says something unusual.
links() {
    case $1 in *@*) return 1 ;; esac
    [ ! -e "/etc/systemd/$instance/$1" ] || return 1
    for file in "/lib/systemd/$instance/$1" "/usr/lib/systemd/$instance/$1"; do
        [ ! -f "$file" ] || break
    done
    [ -f "$file" ] || return 1
    aliases=
    wants=
    while IFS= read -r line || [ -n "$line" ]; do
        case $line in
        WantedBy=* | RequiredBy=* | Alias=*)
            value=${line#*=}
            # Unit names and single blanks only: what the program makes of the rest is its own affair.
            case $value in '' | ' '* | *' ' | *[!A-Za-z0-9:_.\\\ -]* | *'  '*) return 1 ;; esac
            case $line in
            WantedBy=*) for name in $value; do wants="$wants /etc/systemd/$instance/$name.wants/$1"; done ;;
            RequiredBy=*) for name in $value; do wants="$wants /etc/systemd/$instance/$name.requires/$1"; done ;;
            Alias=*)
                case $value in *' '* | "$1") return 1 ;; esac
                aliases="$aliases /etc/systemd/$instance/$value"
                ;;
            esac
            ;;
        # Another case, blanks before it, or a key that leads to other units.
        *[Bb][Yy]=* | *[Aa][Ll][Ii][Aa][Ss]=* | *[Aa][Ll][Ss][Oo]=* | *[Ii][Nn][Ss][Tt][Aa][Nn][Cc][Ee]=*) return 1 ;;
        esac
    done < "$file"
    links=' '
    for link in $aliases $wants; do
        # Twice the same: recorded once by one action and twice by another.
        case $links in *" $link "*) return 1 ;; esac
        links="$links$link "
    done
}

# record UNIT: $links as the unit's state.
record() {
    [ -d "$enabled" ] || mkdir -p "$enabled" || exit 1
    # The program makes it readable whatever the umask.
    (umask 022 && for link in $links; do echo "$link"; done > "$enabled/$1.dsh-also") || exit 1
}

# Anything but ACTION UNIT, and whatever might be an error, is for the program itself.
if [ $# = 2 ] && [ -n "$DPKG_MAINTSCRIPT_PACKAGE" ] && [ -x $real ] && [ -z "$DPKG_ROOT" ] &&
    [ -z "$_DEB_SYSTEMD_HELPER_DEBUG" ] && [ -z "$_DEB_SYSTEMD_HELPER_PURGE" ]; then
    unit=$2
    case $1:$unit in
    *:-* | *:*/* | *:*[!A-Za-z0-9:_.@\\-]*) ;;
    unmask:*)
        if [ ! -e "/etc/systemd/$instance/$unit" ] &&
            [ ! -e /var/lib/systemd/deb-systemd-helper-masked ] &&
            [ ! -e /var/lib/systemd/deb-systemd-user-helper-masked ]; then
            exit 0
        fi
        ;;
    was-enabled:*)
        code=0
        if [ -e "$enabled/$unit.dsh-also" ]; then
            while read -r link; do
                [ -h "$link" ] || code=1
            done < "$enabled/$unit.dsh-also"
        fi
        if [ -z "$quiet" ]; then
            if [ $code = 0 ]; then echo enabled; else echo disabled; fi >&2
        fi
        exit $code
        ;;
    debian-installed:*)
        [ -f "$enabled/$unit.dsh-also" ]
        exit $?
        ;;
    enable:*)
        # The first time: systemd decides by its presets, and what it decided is recorded.
        if [ $known = 1 ] && [ -x /usr/bin/systemctl ] && [ ! -e "$enabled/$unit.dsh-also" ] && links "$unit"; then
            if [ $instance = user ]; then scope=--global; else scope=--system; fi
            if ! systemctl --root=/ $scope --preset-mode=enable-only preset "$unit"; then
                echo "$real: error: systemctl preset failed on $unit" >&2
                exit 1
            fi
            [ "$links" = ' ' ] || record "$unit"
            for link in $links; do
                state=$enabled/${link#/etc/systemd/"$instance"/}
                if [ ! -e "$state" ]; then
                    [ -d "${state%/*}" ] || mkdir -p "${state%/*}" || exit 1
                    : >> "$state" || exit 1
                fi
            done
            exit 0
        fi
        ;;
    update-state:*)
        if [ $known = 1 ] && links "$unit"; then
            record "$unit"
            exit 0
        fi
        ;;
    esac
fi
exec $real $options "$@"
