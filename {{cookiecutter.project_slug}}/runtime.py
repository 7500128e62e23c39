# {% include "distributed/" ~ cookiecutter.distributed ~ "/runtime.py" %}
